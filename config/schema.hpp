#pragma once

// The keys of the file. One table for each kind of map says which keys it has, what each does when
// it is absent, how it is read, and which are refused with which sentence. Unknown keys, "did you
// mean", the table in README.md and the reference example are all held against these tables.

#include "config/names.hpp"
#include "config/reader.hpp"

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace topsman::config {

template <class T>
struct Field {
    const char* key;
    /// As one would write it; in parentheses where the default is no value; null for a map with
    /// fields of its own.
    const char* default_text;
    void (*read)(Reader&, const At&, T&);
    /// Why the key is not accepted, and what to write instead; null: it is accepted.
    const char* refused = nullptr;
    /// The one value of a refused key that asks for what happens anyway.
    const char* refused_unless = nullptr;
};

template <class T, std::size_t N>
constexpr std::span<const Field<T>> fields_of(const Field<T> (&fields)[N]) {
    return fields;
}

/// One key as the documentation shows it.
struct KnownKey {
    std::string path;          ///< "pools.NAME.backoff.initial"
    std::string default_text;  ///< "100ms"
    std::string refused;       ///< empty when the key is accepted
};

/// Every key of the file that holds a value, refused ones too, in the tables' order.
[[nodiscard]] std::vector<KnownKey> known_keys();

/// The accepted key that an unknown one was meant to be: by its letters, or by what other
/// supervisors call it. Empty when there is none.
[[nodiscard]] std::string meant_key(std::string_view key, std::span<const std::string> known);

/// Whether this is the one accepted value of a refused key.
[[nodiscard]] bool is_harmless(const Node& value, const char* unless);

template <class T>
std::vector<std::string> keys_of(std::span<const Field<T>> fields, bool with_refused = false) {
    std::vector<std::string> keys;
    for (const Field<T>& field : fields) {
        if (with_refused || field.refused == nullptr) {
            keys.emplace_back(field.key);
        }
    }
    return keys;
}

/// How a map with these fields could be written.
template <class T>
std::string example_of(std::span<const Field<T>> fields) {
    const char* first = fields[0].default_text;
    const bool is_value = first != nullptr && first[0] != '(';
    return "{ " + std::string(fields[0].key) + ": " + (is_value ? first : "...") + " }";
}

template <class T>
void read_field(Reader& reader, const At& map, const Entry& entry, const Field<T>& field, T& out) {
    const std::string path = map.path + (map.path.empty() ? "" : ".") + entry.key;
    if (field.refused != nullptr) {
        if (!is_harmless(entry.value, field.refused_unless)) {
            reader.error(entry.mark, path, field.refused);
        }
        return;
    }
    const bool has_example = field.default_text != nullptr && field.default_text[0] != '(';
    const std::string example = has_example ? field.default_text : "";
    if (entry.value.kind == Node::Kind::Null) {
        reader.error(
            entry.mark, path,
            "this key has no value: " + (example.empty() ? "write one" : "write " + example) +
                ", or remove the key");
        return;
    }
    field.read(reader, At{entry.value, path, example}, out);
}

/// Reads a map by its fields. False when it is no map at all.
template <class T>
bool read_map(Reader& reader, const At& at, std::span<const Field<T>> fields, T& out) {
    if (at.node.kind != Node::Kind::Map) {
        reader.error(at, "this is a map: write " + example_of(fields));
        return false;
    }
    for (const Entry& entry : at.node.entries) {
        const Field<T>* found = nullptr;
        for (const Field<T>& field : fields) {
            if (entry.key == field.key) {
                found = &field;
            }
        }
        if (found != nullptr) {
            read_field(reader, at, entry, *found, out);
            continue;
        }
        const std::string meant = meant_key(entry.key, keys_of(fields, true));
        reader.error(
            entry.mark, at.path + (at.path.empty() ? "" : ".") + shown(entry.key),
            "unknown key" + (meant.empty() ? ": the keys here are " + listed(keys_of(fields))
                                           : ": did you mean " + meant + "?"));
    }
    return true;
}

/// A field that is one scalar: `value<&Backoff::initial, parse_duration>`.
template <auto Member, auto Parse, class T>
void value(Reader& reader, const At& at, T& out) {
    reader.parse(at, Parse, out.*Member);
}

/// A map of things by name: calls `read(at, name)` for each with a good name.
template <class Read>
void read_named(Reader& reader, const At& at, const char* what, std::size_t most, Read read,
                const char* missing = "keys: indent them below its name") {
    if (at.node.kind != Node::Kind::Map) {
        reader.error(at, std::string("this is a map: write the ") + what +
                             "'s name, then its keys "
                             "indented below it");
        return;
    }
    if (at.node.entries.size() > most) {
        reader.error(at, "at most " + std::to_string(most) + " of these, not " +
                             std::to_string(at.node.entries.size()));
        return;
    }
    for (const Entry& entry : at.node.entries) {
        const std::string path = at.path + "." + shown(entry.key);
        if (!is_name(entry.key)) {
            reader.error(entry.mark, path, "this is no name: a name is " + std::string(kNameRule));
        } else if (entry.value.kind == Node::Kind::Null) {
            reader.error(entry.mark, path, std::string("the ") + what + " has no " + missing);
        } else {
            read(At{entry.value, path, ""}, entry.key);
        }
    }
}

/// One of some words; with a sentence for those that a later version will know.
template <class E>
struct Word {
    const char* word;
    E value;
    const char* refused = nullptr;
};

template <class E>
Result<E> choose(std::string_view text, std::span<const Word<E>> words) {
    std::vector<std::string> known;
    for (const Word<E>& word : words) {
        if (word.word == text && word.refused == nullptr) {
            return word.value;
        }
        if (word.word == text) {
            return plain_error(word.refused);
        }
        if (word.refused == nullptr) {
            known.emplace_back(word.word);
        }
    }
    const std::string meant = nearest(text, known);
    return plain_error("\"" + shown(text) + "\" is none of " + listed(known, "and") +
                       (meant.empty() ? "" : ": did you mean " + meant + "?"));
}

/// What documentation says about these fields.
template <class T>
void add_keys(std::vector<KnownKey>& keys, const std::string& prefix,
              std::span<const Field<T>> all) {
    for (const Field<T>& field : all) {
        if (field.default_text != nullptr || field.refused != nullptr) {
            keys.push_back({prefix + field.key,
                            field.default_text == nullptr ? "" : field.default_text,
                            field.refused == nullptr ? "" : field.refused});
        }
    }
}

}  // namespace topsman::config
