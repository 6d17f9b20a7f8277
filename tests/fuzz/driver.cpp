// Runs a fuzz target without libFuzzer: all files of its corpus, then mutations of them that are
// the same for the same seed. A crash names the input by its number; the input itself is written to
// the file that --keep names.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

/// What mutations insert: the syntax of the formats, and numbers at the edges.
constexpr const char* kTokens[] = {
    ": ",
    "- ",
    "\n",
    "\n  ",
    "\n    ",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "#",
    "&a ",
    "*a",
    "<<: ",
    "!x ",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "\\",
    "---\n",
    "...\n",
    "? ",
    "~",
    "\t",
    "\r\n",
    "${",
    "${A}",
    "}",
    "$${",
    "=",
    "\xEF\xBB\xBF",
    "\xC3",
    "0",
    "-1",
    "99999999999999999999",
    "1e9",
    "unlimited",
    "auto",
    "no",
    "unix:/x",
    "[::]:1",
    "${LISTENER_FD:http}",
    "pools:\n",
    "listeners:\n",
    "command: [x]\n",
    "workers: ",
};

/// Not std::uniform_int_distribution: that differs between libraries.
class Mutator {
  public:
    Mutator(std::uint64_t seed, const std::vector<std::string>& corpus)
        : random_(seed), corpus_(corpus) {}

    std::string next() {
        std::string text = corpus_[below(corpus_.size())];
        for (std::size_t n = 1 + below(6); n > 0; --n) {
            mutate(text);
        }
        return text;
    }

  private:
    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

    void mutate(std::string& text) {
        const std::size_t at = below(text.size() + 1);
        const std::size_t length = below(std::min<std::size_t>(text.size() - at, 40) + 1);
        switch (below(6)) {
            case 0:
                if (at < text.size()) {
                    text[at] = static_cast<char>(below(256));
                }
                break;
            case 1:
                text.insert(at, kTokens[below(std::size(kTokens))]);
                break;
            case 2:
                text.erase(at, length);
                break;
            case 3:
                text.insert(below(text.size() + 1), text.substr(at, length));
                break;
            case 4: {
                const std::string& other = corpus_[below(corpus_.size())];
                text.insert(at, other.substr(below(other.size() + 1), 100));
                break;
            }
            default: {
                const std::string part = text.substr(at, length);
                for (std::size_t n = below(30); n > 0 && text.size() < 65'536; --n) {
                    text.insert(at, part);
                }
            }
        }
    }

    std::mt19937_64 random_;
    const std::vector<std::string>& corpus_;
};

void run(const std::string& text, const std::string& keep) {
    if (!keep.empty()) {
        std::ofstream(keep, std::ios::binary) << text;
    }
    // A safety net against hanging: SIGALRM ends the program, and the test with it.
    ::alarm(60);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
}

std::vector<std::string> read_corpus(const std::vector<std::string>& folders) {
    std::vector<std::filesystem::path> paths;
    for (const std::string& folder : folders) {
        if (!std::filesystem::is_directory(folder)) {
            paths.emplace_back(folder);
            continue;
        }
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            paths.push_back(entry.path());
        }
    }
    std::sort(paths.begin(), paths.end());
    std::vector<std::string> corpus;
    for (const auto& path : paths) {
        std::ifstream file(path, std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return corpus;
}

}  // namespace

int main(int argc, char** argv) {
    std::uint64_t mutations = 0;
    std::uint64_t seed = 1;
    std::string keep;
    std::vector<std::string> folders;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const bool has_value = i + 1 < argc;
        if (word == "--mutations" && has_value) {
            mutations = std::strtoull(argv[++i], nullptr, 10);
        } else if (word == "--seed" && has_value) {
            seed = std::strtoull(argv[++i], nullptr, 10);
        } else if (word == "--keep" && has_value) {
            keep = argv[++i];
        } else {
            folders.push_back(word);
        }
    }
    const std::vector<std::string> corpus = read_corpus(folders);
    if (corpus.empty()) {
        std::fprintf(stderr, "usage: %s [--mutations N] [--seed N] [--keep FILE] CORPUS...\n",
                     argv[0]);
        return 2;
    }
    for (const std::string& text : corpus) {
        run(text, keep);
    }
    Mutator mutator(seed, corpus);
    for (std::uint64_t i = 0; i < mutations; ++i) {
        run(mutator.next(), keep);
    }
    std::printf("%zu files and %llu mutations of them\n", corpus.size(),
                static_cast<unsigned long long>(mutations));
    return 0;
}
