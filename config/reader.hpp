#pragma once

// Reads a tree into values and collects what is wrong on the way: every problem, each once, with
// its place and path. Holds no rules of its own; those are in the schema and in checks.cpp.

#include "config/load.hpp"
#include "config/node.hpp"
#include "shm/base/result.hpp"

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace topsman::config {

/// A value of the tree, the way to it, and how one could write it ("" where nothing helps).
struct At {
    const Node& node;
    std::string path;
    std::string example;
};

class Reader {
  public:
    Reader(std::string file, const Environment& environment, Loaded& out);

    void error(Mark mark, std::string path, std::string sentence);
    void warning(Mark mark, std::string path, std::string sentence);

    void error(const At& at, std::string sentence) {
        error(at.node.mark, at.path, std::move(sentence));
    }

    /// The text of a scalar; null, and a problem, for anything else.
    const std::string* scalar(const At& at);

    /// Parses a scalar into `out`; leaves it alone, and says why, when it cannot.
    template <class T, class Parse>
    void parse(const At& at, Parse parser, T& out) {
        const std::string* text = scalar(at);
        if (text == nullptr) {
            return;
        }
        auto value = parser(*text);
        if (!value) {
            error(at, value.error().message);
            return;
        }
        out = std::move(value.value());
    }

    /// A list of scalars. Items that are no scalar are problems and are left out.
    std::vector<std::string> list(const At& at);

    /// `path` as an absolute one; relative paths start in the file's own folder.
    [[nodiscard]] std::string absolute(const std::string& path) const;

    [[nodiscard]] const Environment& environment() const { return environment_; }

    [[nodiscard]] bool has_errors() const { return !out_.errors.empty(); }

    [[nodiscard]] const std::string& file() const { return file_; }

    /// Brings the problems into the file's order.
    void finish();

  private:
    std::string file_;
    std::filesystem::path folder_;
    const Environment& environment_;
    Loaded& out_;
    std::size_t left_out_ = 0;
};

/// The mark of the deepest value on this way that exists: where a problem of it is shown.
[[nodiscard]] Mark mark_of(const Node& root, std::initializer_list<std::string_view> way);

}  // namespace topsman::config
