// A release directory made by hand for a test: kernels from C++ text by the system's compiler, a plan from JSON text.
#pragma once

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "runtime/base/digest.h"
#include "runtime/base/files.h"
#include "tests/temporary_folder.h"

namespace kiln::test {

// The code object of a source; compiled once per program, since a compiler start costs more than a test.
inline const std::string& compiled(const std::string& source) {
  static std::map<std::string, std::string> known;
  if (const auto found = known.find(source); found != known.end()) return found->second;
  const test::TemporaryFolder scratch;
  const std::string folder = scratch.path.string();
  scratch.put("k.cpp", source);
  const std::string command = "c++ -std=c++20 -O1 -fPIC -shared -I" + std::string(KILN_SOURCE_DIR) + " -o " + folder +
                              "/k.so " + folder + "/k.cpp";
  if (std::system(command.c_str()) != 0) throw std::runtime_error("cannot compile the test's kernel");
  return known[source] = read_file(folder + "/k.so");
}

class ReleaseFolder {
 public:
  [[nodiscard]] const std::filesystem::path& path() const { return folder_.path; }

  // Writes a file and lists it in the manifest; returns its digest.
  std::string put(const std::string& name, const std::string& content) {
    folder_.put(name, content);
    const std::string digest = sha256_hex(content);
    files_[name] = {std::to_string(content.size()), digest};
    return digest;
  }
  std::string put_object(const std::string& source) {
    const std::string& object = compiled(source);
    const std::string digest = sha256_hex(object);
    return put("objects/" + digest + ".so", object);
  }
  // plan.json, and the manifest over everything put so far.
  void finish(const std::string& plan) {
    put("plan.json", plan);
    write_manifest(manifest());
  }
  void write_manifest(const std::string& text) const { folder_.put("manifest.json", text); }
  [[nodiscard]] std::string manifest() const {
    std::string text = R"({"format":"kiln-release/1","plan":"plan.json","files":[)";
    for (const auto& [name, entry] : files_)
      text += (text.back() == '[' ? "" : ",") + std::string(R"({"path":")") + name + R"(","bytes":)" + entry.first +
              R"(,"sha256":")" + entry.second + R"("})";
    return text + R"(],"about":{"made":"by hand"}})";
  }

 private:
  TemporaryFolder folder_;
  std::map<std::string, std::pair<std::string, std::string>> files_;  // name -> bytes, digest
};

}  // namespace kiln::test
