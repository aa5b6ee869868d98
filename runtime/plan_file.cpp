#include "runtime/plan_file.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>

#include "runtime/base/json.h"
#include "runtime/failure.h"

namespace kiln::runtime {
namespace {

// Far above any plan that a node can run, far below what overflows when two of them are added.
constexpr std::int64_t max_bytes = std::int64_t{1} << 42;
constexpr std::int64_t max_tasks = std::int64_t{1} << 31;
constexpr std::size_t max_items = 1u << 20;
constexpr std::int64_t alignment = 64;
constexpr std::size_t kMostDeviceArguments = 512;  // pointers in the 4 KiB of a kernel's parameters

[[noreturn]] void refuse(const std::string& what, const std::string& cause) {
  throw Failure(KILN_E_FORMAT, "cannot read " + what + ": " + cause);
}

std::int64_t bounded(const json::object& o, std::string_view key, std::int64_t low, std::int64_t high,
                     const std::string& what) {
  const std::int64_t v = json::get_int(o, key, what);
  if (v < low || v > high)
    refuse(what, "'" + std::string(key) + "' is " + std::to_string(v) + ", outside " + std::to_string(low) + ".." +
                     std::to_string(high));
  return v;
}

const json::array& items(const json::object& o, std::string_view key, const std::string& what) {
  const json::array& list = json::as_array(json::at(o, key, what), what + " member '" + std::string(key) + "'");
  if (list.size() > max_items) refuse(what, "'" + std::string(key) + "' has too many entries");
  return list;
}

bool is_digest(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string digest(const std::string& text, const std::string& what) {
  if (!is_digest(text)) refuse(what, "'" + text.substr(0, 80) + "' is no SHA-256 digest");
  return text;
}

// A release is copied between nodes as a folder: a path names a file below it by plain parts, nothing else.
bool is_plain_path(std::string_view path) {
  if (path.empty() || path.size() > 512) return false;
  std::size_t begin = 0;
  while (begin <= path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return std::all_of(path.begin(), path.end(), [](char c) { return c >= ' ' && c != 0x7f && c != '\\'; });
}

bool is_symbol(std::string_view text) {
  const auto word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  };
  return !text.empty() && text.size() <= 200 && std::all_of(text.begin(), text.end(), word) &&
         !(text[0] >= '0' && text[0] <= '9');
}

struct TypeName {
  std::string_view name;
  kiln_dtype type;
  std::int64_t bytes;
};
constexpr std::array<TypeName, 13> types = {{{"f64", KILN_F64, 8},
                                             {"f32", KILN_F32, 4},
                                             {"f16", KILN_F16, 2},
                                             {"bf16", KILN_BF16, 2},
                                             {"i64", KILN_I64, 8},
                                             {"i32", KILN_I32, 4},
                                             {"i16", KILN_I16, 2},
                                             {"i8", KILN_I8, 1},
                                             {"u64", KILN_U64, 8},
                                             {"u32", KILN_U32, 4},
                                             {"u16", KILN_U16, 2},
                                             {"u8", KILN_U8, 1},
                                             {"bool", KILN_BOOL, 1}}};

Tensor read_tensor(const json::value& v, const std::string& what) {
  const json::object& o = json::as_object(v, what);
  Tensor t;
  t.name = json::get_string(o, "name", what);
  const std::string dtype = json::get_string(o, "dtype", what);
  const auto type = std::find_if(types.begin(), types.end(), [&](const TypeName& n) { return n.name == dtype; });
  if (type == types.end()) refuse(what, "element type '" + dtype.substr(0, 40) + "' is unknown");
  t.dtype = type->type;
  t.shape = json::get_ints(o, "shape", what);
  if (t.shape.size() > 32) refuse(what, "it has more than 32 dimensions");
  t.bytes = type->bytes;
  for (const std::int64_t extent : t.shape) {
    if (extent < 0 || extent > max_bytes) refuse(what, "extent " + std::to_string(extent) + " is out of range");
    if (extent != 0 && t.bytes > max_bytes / extent) refuse(what, "its size is out of range");
    t.bytes *= extent;
  }
  t.buffer = static_cast<std::int32_t>(bounded(o, "buffer", 0, std::int64_t{max_items} - 1, what));
  return t;
}

BufferKind buffer_kind(const std::string& text, const std::string& what) {
  static constexpr std::array<std::string_view, 5> names = {"input", "output", "constant", "prepared", "temporary"};
  const auto found = std::find(names.begin(), names.end(), text);
  if (found == names.end()) refuse(what, "kind '" + text.substr(0, 40) + "' is unknown");
  return static_cast<BufferKind>(found - names.begin());
}

void check_window(const Buffer& b, std::int64_t arena, const std::string& what) {
  if (b.offset % alignment != 0) refuse(what, "its offset is no multiple of 64");
  if (b.bytes > arena || b.offset > arena - b.bytes)
    refuse(what, "it ends past the " + std::to_string(arena) + " bytes of its arena");
}

void check_caller_buffer(const Buffer& b, const std::vector<Tensor>& tensors, const std::string& what) {
  if (b.offset != 0) refuse(what, "a caller's buffer has no offset");
  if (b.index < 0 || static_cast<std::size_t>(b.index) >= tensors.size())
    refuse(what, "index " + std::to_string(b.index) + " is out of range");
  if (b.bytes != tensors[static_cast<std::size_t>(b.index)].bytes)
    refuse(what, "it has another size than tensor " + std::to_string(b.index));
}

Buffer read_buffer(const json::value& v, const Plan& plan, const std::string& what) {
  const json::object& o = json::as_object(v, what);
  Buffer b;
  b.kind = buffer_kind(json::get_string(o, "kind", what), what);
  b.bytes = bounded(o, "bytes", 0, max_bytes, what);
  b.offset = bounded(o, "offset", 0, max_bytes, what);
  b.index = static_cast<std::int32_t>(bounded(o, "index", -1, std::int64_t{max_items}, what));
  switch (b.kind) {
    case BufferKind::input: check_caller_buffer(b, plan.inputs, what); break;
    case BufferKind::output: check_caller_buffer(b, plan.outputs, what); break;
    case BufferKind::constant: check_window(b, plan.constants_bytes, what); break;
    case BufferKind::prepared: check_window(b, plan.prepared_bytes, what); break;
    case BufferKind::temporary: check_window(b, plan.temporary_bytes, what); break;
  }
  return b;
}

// Bounds: CUDA C++ Programming Guide, technical specifications per compute capability; a device may allow less.
void read_grid(const json::object& launch, Launch& l, const std::string& what) {
  const json::object& o = json::as_object(json::at(launch, "grid", what), what);
  l.grid.block_threads = static_cast<std::int32_t>(bounded(o, "block_threads", 1, 1024, what));
  l.grid.shared_bytes = static_cast<std::int32_t>(bounded(o, "shared_bytes", 0, 1 << 20, what));
  l.grid.cluster = static_cast<std::int32_t>(bounded(o, "cluster", 1, 16, what));
  l.grid.cooperative = o.contains("cooperative") && json::get_bool(o, "cooperative", what);
  l.grid.programmatic = o.contains("programmatic") && json::get_bool(o, "programmatic", what);
  if (l.grid.cooperative && l.grid.cluster != 1) refuse(what, "a cooperative launch has no clusters");
  if (l.grid.cooperative && l.grid.programmatic) refuse(what, "a cooperative launch is not a programmatic one");
  if (l.tasks < 1 || l.tasks % l.grid.cluster != 0) refuse(what, "its blocks do not fill its clusters");
  if (l.has_state) refuse(what, "a launch on a GPU has no state");
  if (l.args.size() > kMostDeviceArguments) refuse(what, "it has too many arguments for a GPU");
}

// "sm_90a": compute capability 9.0, and nothing else.
void read_architecture(const json::object& o, Plan& p, const std::string& what) {
  const std::string text = json::get_string(o, "architecture", what);
  const bool exact = !text.empty() && text.back() == 'a';
  const std::string digits = text.starts_with("sm_") ? text.substr(3, text.size() - 3 - (exact ? 1 : 0)) : "";
  if (digits.size() < 2 || digits.size() > 3 || digits.find_first_not_of("0123456789") != std::string::npos)
    refuse(what, "its architecture '" + text.substr(0, 40) + "' is unknown");
  const int number = std::stoi(digits);
  p.compute_major = number / 10;
  p.compute_minor = number % 10;
  p.exact_architecture = exact;
}

Target read_target(const json::object& o, const std::string& what) {
  const std::string target = json::get_string(o, "target", what);
  if (target == "cpu") return Target::cpu;
  if (target == "cuda") return Target::cuda;
  throw Failure(KILN_E_TARGET,
                "cannot use the plan: its target is '" + target.substr(0, 80) + "', not 'cpu' or 'cuda'");
}

// A single task runs on the caller's thread; any thread may take one of several.
void read_scratch_place(const json::object& o, const Plan& plan, Launch& l, const std::string& what) {
  l.scratch_offset = bounded(o, "scratch_offset", 0, max_bytes, what);
  const std::int64_t each = (l.scratch_bytes + alignment - 1) / alignment * alignment;
  Buffer all;
  all.bytes = each * (l.tasks > 1 ? plan.threads : 1);
  all.offset = l.scratch_offset;
  check_window(all, plan.temporary_bytes, what + ", its scratch");
}

Launch read_launch(const json::value& v, const Plan& plan, bool preparing, const std::string& what) {
  const json::object& o = json::as_object(v, what);
  Launch l;
  l.object = static_cast<std::int32_t>(bounded(o, "object", 0, std::int64_t(plan.objects.size()) - 1, what));
  l.symbol = json::get_string(o, "symbol", what);
  if (!is_symbol(l.symbol)) refuse(what, "its symbol is no C identifier");
  for (const std::int64_t arg : json::get_ints(o, "args", what)) {
    if (arg < 0 || static_cast<std::size_t>(arg) >= plan.buffers.size())
      refuse(what, "argument " + std::to_string(arg) + " names no buffer");
    const BufferKind kind = plan.buffers[static_cast<std::size_t>(arg)].kind;
    if (preparing && (kind == BufferKind::input || kind == BufferKind::output))
      refuse(what, "a prepare launch may not use the caller's buffers");
    l.args.push_back(static_cast<std::int32_t>(arg));
  }
  if (l.args.size() > 4096) refuse(what, "it has too many arguments");
  l.tasks = bounded(o, "tasks", 0, max_tasks, what);
  l.scratch_bytes = bounded(o, "scratch_bytes", 0, max_bytes / 4096, what);
  if (o.contains("scratch_offset")) read_scratch_place(o, plan, l, what);
  l.has_state = json::get_bool(o, "has_state", what);
  if (plan.target != Target::cpu) read_grid(o, l, what);
  l.label = json::get_string(o, "label", what);
  return l;
}

std::vector<Tensor> read_tensors(const json::object& o, std::string_view key, const std::string& what) {
  std::vector<Tensor> out;
  for (const json::value& v : items(o, key, what))
    out.push_back(read_tensor(v, std::string(key).substr(0, key.size() - 1) + " " + std::to_string(out.size()) +
                                     " of the plan"));
  std::set<std::string> names;
  for (const Tensor& t : out)
    if (!names.insert(t.name).second)
      refuse(what, "the name '" + t.name + "' stands twice in '" + std::string(key) + "'");
  return out;
}

void check_tensor_buffers(const std::vector<Tensor>& tensors, BufferKind kind, const Plan& plan, const char* word) {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto id = static_cast<std::size_t>(tensors[i].buffer);
    if (id >= plan.buffers.size() || plan.buffers[id].kind != kind ||
        static_cast<std::size_t>(plan.buffers[id].index) != i)
      refuse(std::string(word) + " " + std::to_string(i) + " of the plan",
             "buffer " + std::to_string(tensors[i].buffer) + " is not its buffer");
  }
}

void check_format(const json::object& o, std::string_view expected, const std::string& what) {
  const std::string format = json::get_string(o, "format", what);
  if (format != expected)
    refuse(what, "its format is '" + format.substr(0, 80) + "', this libkiln reads '" + std::string(expected) + "'");
}

Plan read_plan(const json::object& o) {
  const std::string what = "the plan";
  check_format(o, "kiln-plan/1", what);
  Plan p;
  p.target = read_target(o, what);
  if (p.target == Target::cuda) read_architecture(o, p, what);
  p.name = json::get_string(o, "name", what);
  p.cpu_features = json::get_strings(o, "cpu_features", what);
  p.threads = static_cast<std::int32_t>(bounded(o, "threads", 1, 4096, what));
  p.inputs = read_tensors(o, "inputs", what);
  p.outputs = read_tensors(o, "outputs", what);
  for (const std::string& text : json::get_strings(o, "objects", what)) p.objects.push_back(digest(text, what));
  p.constants = json::get_string(o, "constants", what);
  if (!p.constants.empty()) (void)digest(p.constants, what);
  p.constants_bytes = bounded(o, "constants_bytes", 0, max_bytes, what);
  p.prepared_bytes = bounded(o, "prepared_bytes", 0, max_bytes, what);
  p.temporary_bytes = bounded(o, "temporary_bytes", 0, max_bytes, what);
  if (p.constants.empty() && p.constants_bytes != 0) refuse(what, "it has constants without a digest");
  for (const json::value& v : items(o, "buffers", what))
    p.buffers.push_back(read_buffer(v, p, "buffer " + std::to_string(p.buffers.size()) + " of the plan"));
  check_tensor_buffers(p.inputs, BufferKind::input, p, "input");
  check_tensor_buffers(p.outputs, BufferKind::output, p, "output");
  for (const json::value& v : items(o, "prepare", what))
    p.prepare.push_back(read_launch(v, p, true, "prepare launch " + std::to_string(p.prepare.size())));
  for (const json::value& v : items(o, "run", what))
    p.run.push_back(read_launch(v, p, false, "run launch " + std::to_string(p.run.size())));
  return p;
}

Manifest read_manifest(const json::object& o) {
  const std::string what = "the manifest";
  check_format(o, "kiln-release/1", what);
  Manifest m;
  m.plan = json::get_string(o, "plan", what);
  std::set<std::string> seen;
  for (const json::value& v : items(o, "files", what)) {
    const std::string entry = "file " + std::to_string(m.files.size()) + " of the manifest";
    const json::object& f = json::as_object(v, entry);
    FileEntry e;
    e.path = json::get_string(f, "path", entry);
    if (!is_plain_path(e.path)) refuse(entry, "its path is not a plain relative path");
    if (!seen.insert(e.path).second) refuse(entry, "'" + e.path + "' stands twice");
    e.bytes = bounded(f, "bytes", 0, max_bytes, entry);
    e.sha256 = digest(json::get_string(f, "sha256", entry), entry);
    m.files.push_back(std::move(e));
  }
  if (!m.find(m.plan)) refuse(what, "it does not list its own plan");
  return m;
}

template <class T, class Read>
T guarded(std::string_view text, const char* what, Read read) {
  try {
    json::Limits limits;
    limits.bytes = 64u << 20;
    const json::value v = json::parse(text, what, limits);
    return read(json::as_object(v, what));
  } catch (const Error& e) {
    throw Failure(KILN_E_FORMAT, e.what());
  }
}

}  // namespace

const FileEntry* Manifest::find(std::string_view path) const {
  const auto found = std::find_if(files.begin(), files.end(), [&](const FileEntry& f) { return f.path == path; });
  return found == files.end() ? nullptr : &*found;
}

std::string type_name(kiln_dtype type) {
  const auto found = std::find_if(types.begin(), types.end(), [&](const TypeName& n) { return n.type == type; });
  return found == types.end() ? "unknown type" : std::string(found->name);
}

Manifest parse_manifest(std::string_view text) { return guarded<Manifest>(text, "the manifest", read_manifest); }
Plan parse_plan(std::string_view text) { return guarded<Plan>(text, "the plan", read_plan); }

}  // namespace kiln::runtime
