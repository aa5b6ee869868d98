// The templates that a node may use: the corpus that came with Kiln, and behind it what the site added.
//
// Thread rule: any thread. Invariants: (1) now() is whole at any time, and what it returned stays as it was; (2) a
// template is in now() only when its row is durable; (3) a job's corpus is that of its submission, whatever the site
// has added or removed since, as long as Kiln's own is the same.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/corpus/corpus.h"
#include "store/store.h"

namespace kiln::store {

class NodeCorpus {
 public:
  NodeCorpus(Corpus bundled, Store& store);

  [[nodiscard]] std::shared_ptr<const Corpus> now() const;

  // The templates of the site that `corpus` has, as blobs; what at() takes.
  [[nodiscard]] static std::vector<std::string> stored(const Corpus& corpus);
  // Kiln's corpus with the templates of these blobs. Throws Error(not_found | invalid_input | conflict).
  [[nodiscard]] Corpus at(const std::vector<std::string>& blobs) const;

  // A template of the site that is not in now(): an update of Kiln took its name, or reads templates otherwise.
  struct Unused {
    std::string title, cause;  // "matmul/mine"
  };
  [[nodiscard]] std::vector<Unused> unused() const;

  // Throws Error(conflict) when the name is taken. Cheap enough to ask before a template is proved.
  void require_free(const TemplateSpec& spec) const;
  // Durable when it returns; `evidence` is what came of its golden cases.
  void add(const TemplateSpec& spec, const std::string& evidence);
  // Throws Error(not_found), or Error(conflict) for one of Kiln's own.
  void remove(const std::string& family, const std::string& name);

 private:
  void reload();

  const Corpus bundled_;
  Store& store_;
  std::mutex changes_;         // one change at a time: rows and now_ follow each other
  mutable std::mutex mutex_;   // guards what follows
  std::shared_ptr<const Corpus> now_;
  std::vector<Unused> unused_;
};

}  // namespace kiln::store
