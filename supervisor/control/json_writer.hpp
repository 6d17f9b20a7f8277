#pragma once

// Writes JSON text. Boost.JSON reads ours; it is not used for writing because it prints 12.5 as
// 1.25E1, which neither people nor shell scripts can read, and because an event line has to be cut
// to a size while it is written.

#include <cstdint>
#include <string>
#include <string_view>

namespace topsman::control {

/// `text` as the inside of a JSON string, at most `limit` bytes of it. Never cuts inside a
/// character or an escape; bytes that are not UTF-8 become '?'. `whole` says whether all of it fit.
struct Escaped {
    std::string text;
    bool whole = true;
};

[[nodiscard]] Escaped escape_json(std::string_view text, std::size_t limit = std::string::npos);

/// Appends to one string; commas are its business, nesting is the caller's.
class JsonWriter {
  public:
    JsonWriter& begin_object() { return open('{'); }

    JsonWriter& end_object() { return close('}'); }

    JsonWriter& begin_array() { return open('['); }

    JsonWriter& end_array() { return close(']'); }

    JsonWriter& key(std::string_view name);
    JsonWriter& value(std::string_view text);

    // Else a literal would become a bool.
    JsonWriter& value(const char* text) { return value(std::string_view(text)); }

    JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }

    JsonWriter& value(std::uint64_t number);
    JsonWriter& value(std::int64_t number);
    JsonWriter& value(bool yes);
    JsonWriter& seconds(double s);  ///< three decimals

    /// What is JSON already.
    JsonWriter& json(std::string_view text) { return raw(text); }

    template <class T>
    JsonWriter& member(std::string_view name, const T& v) {
        return key(name).value(v);
    }

    [[nodiscard]] const std::string& text() const noexcept { return text_; }

    [[nodiscard]] std::string take() noexcept { return std::move(text_); }

  private:
    JsonWriter& open(char bracket);
    JsonWriter& close(char bracket);
    JsonWriter& raw(std::string_view text);
    void separate();

    std::string text_;
    bool comma_ = false;
};

}  // namespace topsman::control
