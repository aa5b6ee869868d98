CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('node', lower(hex(randomblob(16))));

-- A gapless hash chain; store/ledger/ledger.h says what is hashed. The triggers guard against our own defects, not against
-- whoever can write the file: for that there are the signed checkpoints that others hold.
CREATE TABLE ledger (
  sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, content TEXT NOT NULL,
  previous TEXT NOT NULL, hash TEXT NOT NULL, recorded_ns INTEGER NOT NULL) STRICT;
CREATE TRIGGER ledger_keeps_rows BEFORE UPDATE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_keeps_all BEFORE DELETE ON ledger BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TABLE frontier (level INTEGER PRIMARY KEY, hash TEXT NOT NULL) STRICT;
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL, recorded_ns INTEGER NOT NULL) STRICT;

CREATE TABLE workloads (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, model TEXT NOT NULL, graph TEXT NOT NULL, constants TEXT NOT NULL,
  import TEXT NOT NULL, created_ns INTEGER NOT NULL, ledger INTEGER NOT NULL REFERENCES ledger) STRICT;

CREATE TABLE jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT, workload TEXT NOT NULL REFERENCES workloads, spec TEXT NOT NULL,
  state TEXT NOT NULL, error TEXT NOT NULL DEFAULT '', progress TEXT NOT NULL DEFAULT '{}',
  result TEXT NOT NULL DEFAULT '{}', created_ns INTEGER NOT NULL, started_ns INTEGER NOT NULL DEFAULT 0,
  finished_ns INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE entries (
  job INTEGER NOT NULL REFERENCES jobs, sequence INTEGER NOT NULL, decision INTEGER NOT NULL, kind TEXT NOT NULL,
  request_digest TEXT NOT NULL, content TEXT NOT NULL, ledger INTEGER NOT NULL REFERENCES ledger,
  recorded_ns INTEGER NOT NULL, PRIMARY KEY (job, sequence)) STRICT, WITHOUT ROWID;

CREATE TABLE releases (
  id TEXT PRIMARY KEY, workload TEXT NOT NULL REFERENCES workloads, version INTEGER NOT NULL, job TEXT NOT NULL,
  kind TEXT NOT NULL, summary TEXT NOT NULL, created_ns INTEGER NOT NULL, ledger INTEGER NOT NULL REFERENCES ledger,
  UNIQUE (workload, version)) STRICT;
-- The releases that are and were current, as a stack: promote pushes, rollback pops. The top is current.
CREATE TABLE current_stack (
  workload TEXT NOT NULL REFERENCES workloads, depth INTEGER NOT NULL, release TEXT NOT NULL REFERENCES releases,
  PRIMARY KEY (workload, depth)) STRICT, WITHOUT ROWID;

CREATE TABLE events (
  serial INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL,
  recorded_ns INTEGER NOT NULL) STRICT;
CREATE TABLE audit (
  ledger INTEGER PRIMARY KEY REFERENCES ledger, uid INTEGER NOT NULL, role TEXT NOT NULL, action TEXT NOT NULL,
  object TEXT NOT NULL, status INTEGER NOT NULL, recorded_ns INTEGER NOT NULL) STRICT;
CREATE TABLE priors (
  region TEXT NOT NULL, node TEXT NOT NULL, variant TEXT NOT NULL, verdict TEXT NOT NULL, median_ns REAL NOT NULL,
  PRIMARY KEY (region, node, variant)) STRICT, WITHOUT ROWID;
