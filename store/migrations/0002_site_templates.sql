-- Templates that the site added to the corpus, each after it passed its golden set. `digest` is the template's, `content` the
-- blob with its files, `evidence` the blob with what came of each golden case.
CREATE TABLE site_templates (
  family TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, content TEXT NOT NULL, evidence TEXT NOT NULL,
  added_ns INTEGER NOT NULL, ledger INTEGER NOT NULL REFERENCES ledger, PRIMARY KEY (family, name)) STRICT, WITHOUT ROWID;
