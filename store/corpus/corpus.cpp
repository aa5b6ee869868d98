#include "store/corpus/corpus.h"

#include <algorithm>

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "runtime/base/files.h"
#include "store/sqlite/database.h"

namespace kiln::store {
namespace {

constexpr std::int64_t kCorpusId = 0x4b434f52;  // "KCOR"
constexpr std::int64_t kCorpusFormat = 1;

using Files = std::map<std::string, std::string>;

std::string digest_of(const std::vector<TemplateSpec>& templates, const Files& golden) {
  std::string all;
  for (const TemplateSpec& spec : templates) all += spec.family + "/" + spec.name + " " + spec.digest + "\n";
  for (const auto& [family, text] : golden) all += family + " " + sha256_hex(text) + "\n";
  return sha256_hex(all);
}

std::vector<TemplateSpec> parse_all(const std::map<std::pair<std::string, std::string>, Files>& folders) {
  std::vector<TemplateSpec> out;
  for (const auto& [key, files] : folders) out.push_back(parse_template(key.first, key.second, files));
  return out;
}

Files files_below(const std::filesystem::path& folder, const std::string& extension) {
  Files out;
  if (!std::filesystem::exists(folder)) return out;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.is_regular_file() && (extension.empty() || entry.path().extension() == extension))
      out[extension.empty() ? entry.path().filename().string() : entry.path().stem().string()] =
          read_file(entry.path(), 1u << 20);
  return out;
}

}  // namespace

std::map<std::string, std::string> template_files(const std::filesystem::path& templates, const std::string& family,
                                                  const std::string& name) {
  Files out = files_below(templates / family / name, "");
  const std::string headers = out.contains("kernel.cu") ? "device" : "cpu";
  for (auto& [file, text] : files_below(templates / headers, "")) out[headers + "/" + file] = std::move(text);
  return out;
}

Corpus open_corpus(const std::filesystem::path& corpus_db) {
  if (!std::filesystem::exists(corpus_db))
    throw Error(ErrorCode::not_found, "cannot open the corpus '" + corpus_db.string() + "': no such file",
                "set paths.corpus");
  Database db(corpus_db, Access::immutable);
  if (db.query_int("PRAGMA application_id") != kCorpusId || db.query_int("PRAGMA user_version") != kCorpusFormat)
    throw Error(ErrorCode::corrupt, "cannot open the corpus '" + corpus_db.string() +
                                        "': it is not a corpus of format " + std::to_string(kCorpusFormat));
  std::map<std::pair<std::string, std::string>, Files> folders;
  Statement rows(db, "SELECT family, name, file, content FROM template_file ORDER BY family, name, file");
  while (rows.step()) folders[{rows.text(0), rows.text(1)}][rows.text(2)] = rows.text(3);
  Files golden;
  Statement sets(db, "SELECT family, content FROM golden ORDER BY family");
  while (sets.step()) golden[sets.text(0)] = sets.text(1);
  Corpus out;
  out.templates = parse_all(folders);
  for (const auto& [family, text] : golden)
    for (GoldenCase& one : parse_golden(family, text)) out.golden.push_back(std::move(one));
  out.digest = digest_of(out.templates, golden);
  if (out.digest != db.query_text("SELECT digest FROM corpus"))
    throw Error(ErrorCode::corrupt, "cannot open the corpus '" + corpus_db.string() +
                                        "': its content does not have the digest it was built with");
  return out;
}

const TemplateSpec* Corpus::find(const std::string& family, const std::string& name) const {
  for (const TemplateSpec& spec : templates)
    if (spec.family == family && spec.name == name) return &spec;
  return nullptr;
}

void build_corpus(const std::filesystem::path& templates, const std::filesystem::path& golden,
                  const std::filesystem::path& corpus_db) {
  std::map<std::pair<std::string, std::string>, Files> folders;
  for (const auto& family : std::filesystem::directory_iterator(templates)) {
    if (!family.is_directory()) continue;
    for (const auto& entry : std::filesystem::directory_iterator(family.path()))
      if (entry.is_directory()) {
        const std::string of = family.path().filename().string(), name = entry.path().filename().string();
        folders[{of, name}] = template_files(templates, of, name);
      }
  }
  const std::vector<TemplateSpec> specs = parse_all(folders);
  const Files sets = files_below(golden, ".toml");
  for (const auto& [family, text] : sets) (void)parse_golden(family, text);  // a bad set fails the build, here

  std::filesystem::path temporary = corpus_db;
  temporary += ".new";
  std::filesystem::remove(temporary);
  {
    Database db(temporary, Access::read_write);
    db.exec("PRAGMA journal_mode = DELETE");
    db.exec("PRAGMA application_id = " + std::to_string(kCorpusId));
    db.exec("PRAGMA user_version = " + std::to_string(kCorpusFormat));
    db.exec(
        "BEGIN; CREATE TABLE corpus(digest TEXT NOT NULL) STRICT;"
        "CREATE TABLE template_file(family TEXT NOT NULL, name TEXT NOT NULL, file TEXT NOT NULL, content TEXT NOT "
        "NULL,"
        " PRIMARY KEY(family, name, file)) STRICT;"
        "CREATE TABLE golden(family TEXT PRIMARY KEY, content TEXT NOT NULL) STRICT");
    for (const auto& [key, files] : folders)
      for (const auto& [file, content] : files)
        Statement(db, "INSERT INTO template_file VALUES (?, ?, ?, ?)").bind(key.first, key.second, file, content).run();
    for (const auto& [family, text] : sets) Statement(db, "INSERT INTO golden VALUES (?, ?)").bind(family, text).run();
    Statement(db, "INSERT INTO corpus VALUES (?)").bind(digest_of(specs, sets)).run();
    db.exec("COMMIT");
  }
  std::filesystem::rename(temporary, corpus_db);
}

}  // namespace kiln::store
