#pragma once

// A parsed YAML document as our own small tree: what validation reads. It is finite (aliases are
// copied under a budget), has no duplicate keys, no tags, and every value knows its place.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace topsman::config {

/// A place in the file, from 1.
struct Mark {
    int line = 0;
    int column = 0;
};

struct Entry;

struct Node {
    enum class Kind : std::uint8_t { Null, Scalar, List, Map };

    Kind kind = Kind::Null;
    Mark mark;
    std::string text;            ///< of a scalar, as written between its quotes
    std::vector<Node> items;     ///< of a list
    std::vector<Entry> entries;  ///< of a map, in the file's order

    /// The value of a map's key; null when there is none.
    [[nodiscard]] const Node* find(std::string_view key) const;
};

struct Entry {
    std::string key;
    Mark mark;  ///< of the key
    Node value;
};

inline const Node* Node::find(std::string_view key) const {
    for (const Entry& entry : entries) {
        if (entry.key == key) {
            return &entry.value;
        }
    }
    return nullptr;
}

/// Something that is wrong with the document, before anybody asks what it means.
struct YamlProblem {
    Mark mark;
    std::string path;  ///< of keys: "pools.web"
    std::string sentence;
};

}  // namespace topsman::config
