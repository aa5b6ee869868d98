#include "agents/reporter/page.h"

namespace kiln::agents::page {

std::string_view style() {
  return R"css(
:root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--muted:#5b6570;--line:#d9dee4;--soft:#f4f6f8;--good:#0a7d4f;
--bad:#b3261e;
--calm:#5b6570;--accent:#0b5cad;--grid:#e7ebef;--roof:#8a4b00}
@media (prefers-color-scheme:dark){:root{--bg:#14181d;--fg:#e6eaee;--muted:#9aa5b1;--line:#313942;--soft:#1c2229;
--good:#45c68c;
--bad:#ff8a80;--calm:#9aa5b1;--accent:#6fb3ff;--grid:#262d35;--roof:#e0a96d}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1040px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:1.55rem;line-height:1.25;margin:0 0 4px}
h2{font-size:1.15rem;margin:40px 0 10px;padding-top:14px;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:22px 0 6px}
p{margin:6px 0 12px;max-width:78ch}
a{color:var(--accent)}
code,pre,.mono{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.86em}
pre{background:var(--soft);border:1px solid var(--line);border-radius:6px;padding:12px;overflow-x:auto;
white-space:pre-wrap;overflow-wrap:anywhere}
.muted{color:var(--muted)}
nav{font-size:.9rem;margin:14px 0 0;display:flex;flex-wrap:wrap;gap:4px 14px}nav a{white-space:nowrap}
.verdict{border:1px solid var(--line);border-left:6px solid var(--calm);border-radius:8px;background:var(--soft);
padding:16px 20px;margin:18px 0}
.verdict.good{border-left-color:var(--good)}.verdict.bad{border-left-color:var(--bad)}
.verdict .big{font-size:2rem;font-weight:650;line-height:1.2}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:10px;margin:14px 0}
.facts div{border:1px solid var(--line);border-radius:8px;padding:8px 12px}
.facts b{display:block;font-size:1.15rem;font-weight:600}.facts span{color:var(--muted);font-size:.85rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:8px 0 14px;font-size:.9rem}
caption{text-align:left;color:var(--muted);padding-bottom:6px}
th,td{text-align:left;vertical-align:top;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);
overflow-wrap:anywhere}
th{font-weight:600;white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.badge{font-weight:600;white-space:nowrap}.badge.good{color:var(--good)}.badge.bad{color:var(--bad)}
.badge.calm{color:var(--calm)}
details{margin:8px 0}summary{cursor:pointer;color:var(--accent)}
figure{margin:10px 0}figcaption{color:var(--muted);font-size:.85rem}
.several{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(380px,100%),1fr));gap:8px 20px}
svg{width:100%;height:auto;display:block;font-family:inherit}
svg text{fill:var(--fg)}svg .tick{font-size:11px;fill:var(--muted)}svg .note{font-size:11px;fill:var(--muted);
paint-order:stroke;stroke:var(--bg);stroke-width:3px}
svg .axis{font-size:12px;fill:var(--muted)}
svg .id{font-size:12px;font-weight:600;paint-order:stroke;stroke:var(--bg);stroke-width:3px}
.grid{stroke:var(--grid)}.roof{stroke:var(--roof);stroke-width:1.5}.gain{stroke:var(--accent);stroke-width:1;
stroke-dasharray:2 2}
.incumbent{fill:var(--bg);stroke:var(--muted);stroke-width:1.6}.winner{fill:var(--accent);stroke:var(--bg)}
.failed{stroke:var(--bad);stroke-width:1.5;fill:none}.best{stroke:var(--accent);stroke-width:1.8;fill:none}
.level{stroke:var(--muted);stroke-dasharray:5 3}.floor{stroke:var(--roof);stroke-dasharray:2 3}.bar{fill:var(--accent);
opacity:.75}
.key{display:inline-block;width:.7em;height:.7em;border-radius:50%;border:1.6px solid var(--muted)}
.key.full{background:var(--accent);border-color:var(--accent)}
@media screen and (max-width:700px){main{padding:20px 16px 48px}td,th{overflow-wrap:break-word}
caption span{display:block;position:sticky;left:0;max-width:calc(100vw - 32px)}
figure{overflow-x:auto}figcaption{position:sticky;left:0}figure:not(.small) svg{min-width:660px}}
@media print{:root{--bg:#fff;--fg:#000;--muted:#444;--line:#bbb;--soft:#fff;--good:#064;--bad:#900;--calm:#444;
--accent:#036;--grid:#ddd;--roof:#630}
main{max-width:none;padding:0}nav{display:none}figure,tr,.verdict{break-inside:avoid}h2,h3{break-after:avoid}
body{font-size:11px}}
)css";
}

}  // namespace kiln::agents::page
