// A store in a folder that goes with the test, and rows to put into it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "runtime/base/digest.h"
#include "runtime/base/json.h"
#include "store/releases.h"
#include "store/store.h"
#include "tests/temporary_folder.h"

namespace kiln::store::test {

using kiln::test::TemporaryFolder;

inline std::unique_ptr<Store> open_store(const TemporaryFolder& folder) {
  return Store::open({.directory = folder.path, .ballast_bytes = 4096});
}

inline Workload add_workload(Store& store, const std::string& name) {
  Workload w;
  w.name = name;
  w.model = store.put_blob("model " + name);
  w.graph = store.put_blob("graph " + name);
  w.id = "w-" + w.graph.substr(0, 12);
  store.add_workload(w);
  return store.workload(w.id);
}

inline JobEntry entry_at(Store& store, std::int64_t sequence) {
  JobEntry entry;
  entry.sequence = sequence;
  entry.kind = "fact";
  entry.request_digest = sha256_hex("request");
  entry.content = store.put_blob("{\"n\":" + std::to_string(sequence) + "}");
  return entry;
}

inline ReleaseRow add_release(Store& store, const Workload& w, const std::string& what) {
  ReleaseContent content;
  content.plan = {{"run", json::array{}}, {"objects", json::array{}}, {"threads", 1},
                  {"constants_bytes", 0}, {"prepared_bytes", 0}, {"temporary_bytes", what.size()}};
  const std::filesystem::path staged = store.directory() / "staging" / what;
  ReleaseRow row;
  row.id = write_release(store, content, staged);
  row.workload = w.id;
  row.job = "j-1";
  row.kind = what;
  return store.add_release(row, staged);
}

}  // namespace kiln::store::test
