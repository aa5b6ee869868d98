// kiln-corpus TEMPLATES GOLDEN OUT.db: compiles the templates and golden sets in git into the corpus database; a build
// tool.
#include <cstdio>
#include <exception>

#include "store/corpus/corpus.h"

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: kiln-corpus TEMPLATES GOLDEN OUT.db\n");
    return 2;
  }
  try {
    kiln::store::build_corpus(argv[1], argv[2], argv[3]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "kiln-corpus: %s\n", error.what());
    return 1;
  }
}
