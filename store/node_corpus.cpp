#include "store/node_corpus.h"

#include "runtime/base/digest.h"
#include "runtime/base/error.h"
#include "store/corpus/site_template.h"

namespace kiln::store {
namespace {

std::string title(const TemplateSpec& spec) { return spec.family + "/" + spec.name; }

void require_absent(const Corpus& corpus, const TemplateSpec& spec) {
  if (corpus.find(spec.family, spec.name) != nullptr)
    throw Error(ErrorCode::conflict, "cannot add template '" + title(spec) + "': the corpus has one of that name",
                "give it another name, or remove the other with kctl corpus remove");
}

// Appends it and takes it into the digest, which is Kiln's own while the site has none.
void append(Corpus& corpus, TemplateSpec spec) {
  require_absent(corpus, spec);
  corpus.digest = sha256_hex(corpus.digest + "\n" + title(spec) + " " + spec.digest + "\n");
  corpus.templates.push_back(std::move(spec));
}

TemplateSpec template_in(const Store& store, const std::string& blob) {
  TemplateSpec spec = site_template_from_text(store.blob(blob));
  spec.stored = blob;
  return spec;
}

}  // namespace

NodeCorpus::NodeCorpus(Corpus bundled, Store& store) : bundled_(std::move(bundled)), store_(store) { reload(); }

std::shared_ptr<const Corpus> NodeCorpus::now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

std::vector<std::string> NodeCorpus::stored(const Corpus& corpus) {
  std::vector<std::string> out;
  for (const TemplateSpec& spec : corpus.templates)
    if (!spec.stored.empty()) out.push_back(spec.stored);
  return out;
}

Corpus NodeCorpus::at(const std::vector<std::string>& blobs) const {
  Corpus out = bundled_;
  for (const std::string& blob : blobs) append(out, template_in(store_, blob));
  return out;
}

std::vector<NodeCorpus::Unused> NodeCorpus::unused() const {
  const std::lock_guard lock(mutex_);
  return unused_;
}

// A template that this version of Kiln cannot take must not keep the daemon from starting.
void NodeCorpus::reload() {
  auto fresh = std::make_shared<Corpus>(bundled_);
  std::vector<Unused> unused;
  for (const SiteTemplate& row : store_.site_templates()) {
    try {
      append(*fresh, template_in(store_, row.content));
    } catch (const Error& error) {
      unused.push_back({row.family + "/" + row.name, error.what()});
    }
  }
  const std::lock_guard lock(mutex_);
  now_ = std::move(fresh);
  unused_ = std::move(unused);
}

void NodeCorpus::require_free(const TemplateSpec& spec) const {
  require_absent(*now(), spec);
  for (const Unused& other : unused())
    if (other.title == title(spec))
      throw Error(ErrorCode::conflict, "cannot add template '" + title(spec) + "': the site has one of that name",
                  "kctl corpus remove " + title(spec));
}

void NodeCorpus::add(const TemplateSpec& spec, const std::string& evidence) {
  const std::lock_guard lock(changes_);
  require_free(spec);
  SiteTemplate row;
  row.family = spec.family;
  row.name = spec.name;
  row.digest = spec.digest;
  row.content = store_.put_blob(site_template_text(spec));
  row.evidence = store_.put_blob(evidence);
  store_.add_site_template(row);
  reload();
}

void NodeCorpus::remove(const std::string& family, const std::string& name) {
  const std::lock_guard lock(changes_);
  const TemplateSpec* own = bundled_.find(family, name);
  bool of_site = false;
  for (const SiteTemplate& row : store_.site_templates()) of_site |= row.family == family && row.name == name;
  if (own != nullptr && !of_site)
    throw Error(ErrorCode::conflict, "cannot remove template '" + title(*own) + "': it is Kiln's own",
                "search.families in a policy says which families a job may use");
  store_.remove_site_template(family, name);
  reload();
}

}  // namespace kiln::store
