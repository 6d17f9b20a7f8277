#pragma once

// Makes whole lines out of what a worker writes, so that the lines of several workers never mix.
// Pure: no descriptor, no clock.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace topsman::posix {

class LineSplitter {
  public:
    static constexpr std::size_t kMaxLine = 8'192;
    static constexpr std::size_t kMaxLastWords = 1'000;

    /// Without its newline, with the prefix.
    using Line = std::function<void(std::string_view line)>;

    /// `prefix` is put before each line: "web/0 | ".
    explicit LineSplitter(std::string prefix) : prefix_(std::move(prefix)) {}

    /// A line longer than kMaxLine is cut into several, and the cuts are marked with "[...]".
    void feed(std::string_view bytes, const Line& line);

    /// The writer is gone: what it did not finish is a line, too.
    void finish(const Line& line);

    /// The last lines joined by " / ", at most kMaxLastWords of text, what is unfinished included;
    /// control characters are blanked, because this goes into the log and on terminals.
    [[nodiscard]] std::string last_words() const;

    /// What it has in hand, for one that goes on in its place.
    struct Rest {
        std::string line;  ///< unfinished
        bool continues = false;
        std::string last_words;
        friend bool operator==(const Rest&, const Rest&) = default;
    };

    [[nodiscard]] Rest rest() const { return {line_, continues_, last_words_}; }

    void resume(Rest rest);

    void rename(std::string prefix) { prefix_ = std::move(prefix); }

  private:
    void end_line(std::string_view mark, const Line& line);
    void remember(std::string_view line);

    std::string prefix_;
    std::string line_;
    bool continues_ = false;
    std::string last_words_;
};

}  // namespace topsman::posix
