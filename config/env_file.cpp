#include "config/env_file.hpp"

#include "config/limits.hpp"
#include "config/names.hpp"
#include "config/read_file.hpp"

namespace topsman::config {
namespace {

class EnvFileParser {
  public:
    EnvFileParser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

    Result<EnvironmentVariables> run() {
        EnvironmentVariables variables;
        while (skip_to_assignment()) {
            const std::size_t equals = text_.find_first_of("=\n", at_);
            if (equals == std::string_view::npos || text_[equals] == '\n') {
                return wrong("a line without =: write NAME=value, or # before a comment");
            }
            std::string_view name = text_.substr(at_, equals - at_);
            while (!name.empty() && (name.back() == ' ' || name.back() == '\t')) {
                name.remove_suffix(1);
            }
            if (!is_variable_name(name)) {
                return wrong("\"" + shown(name) + "\" is no variable's name" +
                             (name.starts_with("export ") ? ": remove export" : ""));
            }
            at_ = equals + 1;
            auto value = read_value();
            if (!value) {
                return value.error();
            }
            variables[std::string(name)] = *value;
        }
        return variables;
    }

  private:
    [[nodiscard]] Error wrong(const std::string& sentence) const {
        return plain_error(path_ + ":" + std::to_string(line_) + ": " + sentence);
    }

    [[nodiscard]] bool done() const { return at_ >= text_.size(); }

    char take() {
        const char c = text_[at_++];
        line_ += c == '\n' ? 1 : 0;
        return c;
    }

    /// Over blank lines and comments; a comment too goes on after a backslash, as in systemd.
    bool skip_to_assignment() {
        while (!done()) {
            const char c = text_[at_];
            if (c == '#' || c == ';') {
                while (!done() && text_[at_] != '\n') {
                    if (take() == '\\' && !done()) {
                        take();
                    }
                }
            } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
                take();
            } else {
                return true;
            }
        }
        return false;
    }

    Result<std::string> read_value() {
        std::string value;
        std::size_t keep = 0;  // blanks after this are only kept when text follows
        while (!done() && (text_[at_] == ' ' || text_[at_] == '\t')) {
            take();
        }
        while (!done() && text_[at_] != '\n') {
            const char c = take();
            if (c == '\'' || c == '"') {
                const int opened = line_;
                if (!read_quoted(c, value)) {
                    line_ = opened;
                    return wrong("a quote is never closed");
                }
                keep = value.size();
            } else if (c == '\\') {
                if (!done()) {
                    const char escaped = take();
                    if (escaped != '\n') {
                        value += escaped;
                        keep = value.size();
                    }
                }
            } else {
                value += c;
                keep = c == ' ' || c == '\t' || c == '\r' ? keep : value.size();
            }
        }
        value.resize(keep);
        return value;
    }

    bool read_quoted(char quote, std::string& value) {
        while (!done()) {
            const char c = take();
            if (c == quote) {
                return true;
            }
            if (c == '\\' && quote == '"' && !done()) {
                const char escaped = take();
                // Only what a shell would unescape loses its backslash.
                if (std::string_view("\"\\`$").find(escaped) != std::string_view::npos) {
                    value += escaped;
                } else if (escaped != '\n') {
                    value += c;
                    value += escaped;
                }
            } else {
                value += c;
            }
        }
        return false;
    }

    std::string_view text_;
    const std::string& path_;
    std::size_t at_ = 0;
    int line_ = 1;
};

}  // namespace

Result<EnvironmentVariables> parse_env_file(std::string_view text, const std::string& path) {
    if (text.find('\0') != std::string_view::npos) {
        return plain_error(path + ": a NUL: this is no text file");
    }
    if (text.starts_with("\xEF\xBB\xBF")) {
        text.remove_prefix(3);
    }
    return EnvFileParser(text, path).run();
}

Result<EnvironmentVariables> read_env_file(const std::string& path) {
    auto text = read_file(path, kMaxFileBytes);
    if (!text) {
        return Error{text.error().code, path + ": " + text.error().message};
    }
    return parse_env_file(*text, path);
}

}  // namespace topsman::config
