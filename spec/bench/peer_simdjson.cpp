// peer_simdjson.cpp: what the check of a dataset is measured against: simdjson's DOM parser over
// all lines of files, on one thread. Nothing is looked at in the documents.
//   peer_simdjson FILE...
#include <cstdio>
#include <simdjson.h>

int main(int argc, char **argv) {
  size_t documents = 0, wrong = 0;
  for (int i = 1; i < argc; i++) {
    simdjson::dom::parser parser;
    simdjson::padded_string text;
    simdjson::dom::document_stream stream;
#ifdef SIMDJSON_THREADS_ENABLED
    parser.threaded = false;
#endif
    if (simdjson::padded_string::load(argv[i]).get(text) || parser.parse_many(text).get(stream)) {
      std::fprintf(stderr, "peer_simdjson: cannot read %s\n", argv[i]);
      return 1;
    }
    for (auto document : stream) {
      documents++;
      wrong += document.error() != simdjson::SUCCESS;
    }
  }
  std::printf("%zu documents, %zu wrong\n", documents, wrong);
  return 0;
}
