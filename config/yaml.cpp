#include "config/yaml.hpp"

#include "config/limits.hpp"
#include "config/names.hpp"
#include "config/text_guard.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <sstream>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace topsman::config {
namespace {

/// Ends the parse from within an event: what follows would only be a consequence.
struct Refused {
    YamlProblem problem;
};

Mark to_mark(const YAML::Mark& mark) {
    return mark.is_null() ? Mark{} : Mark{mark.line + 1, mark.column + 1};
}

class TreeBuilder final : public YAML::EventHandler {
  public:
    explicit TreeBuilder(std::vector<YamlProblem>& problems) : problems_(problems) {}

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (++documents_ > 1) {
            throw Refused{{to_mark(mark), "",
                           "a second document starts here: a file has one, so remove the ---"}};
        }
    }

    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        Node node;
        node.mark = to_mark(mark);
        leaf(std::move(node), anchor);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        const auto found = anchors_.find(anchor);
        if (found == anchors_.end()) {
            throw Refused{{to_mark(mark), path(), "this alias stands inside of its own anchor"}};
        }
        spend(to_mark(mark), found->second.nodes, found->second.bytes);
        Node copy = found->second.node;
        if (copy.kind != Node::Kind::List && copy.kind != Node::Kind::Map) {
            copy.mark = to_mark(mark);
        }
        place(std::move(copy));
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        check_tag(mark, tag);
        if (value.find('\0') != std::string::npos) {
            throw Refused{{to_mark(mark), path(), "a NUL character inside of a value"}};
        }
        Node node;
        node.kind = Node::Kind::Scalar;
        node.mark = to_mark(mark);
        node.text = value;
        if (tag == "!") {
            last_quoted_ = node.mark;
        }
        leaf(std::move(node), anchor);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value /*style*/) override {
        check_tag(mark, tag);
        open(Node::Kind::List, to_mark(mark), anchor);
    }

    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value /*style*/) override {
        check_tag(mark, tag);
        open(Node::Kind::Map, to_mark(mark), anchor);
    }

    void OnMapEnd() override { close(); }

    [[nodiscard]] Node take_root() { return std::move(root_); }

    /// Where the last quoted scalar starts; line 0 when there is none.
    [[nodiscard]] Mark last_quoted() const { return last_quoted_; }

  private:
    struct Frame {
        Node node;
        YAML::anchor_t anchor = 0;
        std::size_t nodes_before = 0;
        std::size_t bytes_before = 0;
        bool has_key = false;  ///< of a map: its key was read, the value comes next
        std::string key;
        Mark key_mark;
        std::unordered_map<std::string, Mark> seen;
        std::vector<Node> merges;  ///< the values of "<<"
    };

    struct Anchored {
        Node node;
        std::size_t nodes = 0;
        std::size_t bytes = 0;
    };

    [[nodiscard]] std::string path() const {
        std::string result;
        for (const Frame& frame : stack_) {
            if (frame.node.kind == Node::Kind::Map && frame.has_key) {
                result += (result.empty() ? "" : ".") + shown(frame.key);
            } else if (frame.node.kind == Node::Kind::List) {
                result += "[" + std::to_string(frame.node.items.size()) + "]";
            }
        }
        return result;
    }

    void check_tag(const YAML::Mark& mark, const std::string& tag) {
        // yaml-cpp says "?" for a plain value and "!" for a quoted one.
        if (!tag.empty() && tag != "?" && tag != "!") {
            throw Refused{{to_mark(mark), path(), "tags (!...) have no meaning here: remove it"}};
        }
    }

    void spend(Mark mark, std::size_t nodes, std::size_t bytes) {
        nodes_ += nodes;
        bytes_ += bytes;
        if (nodes_ > kMaxNodes || bytes_ > kMaxTextBytes) {
            throw Refused{{mark, path(),
                           "the file holds more than " + std::to_string(kMaxNodes) +
                               " values, or 4 MiB of text, after its aliases: use fewer aliases"}};
        }
    }

    void leaf(Node node, YAML::anchor_t anchor) {
        spend(node.mark, 1, node.text.size());
        if (anchor != 0) {
            anchors_[anchor] = Anchored{node, 1, node.text.size()};
        }
        place(std::move(node));
    }

    void open(Node::Kind kind, Mark mark, YAML::anchor_t anchor) {
        if (stack_.size() >= kMaxDepth) {
            throw Refused{{mark, "",
                           "values nest deeper than " + std::to_string(kMaxDepth) +
                               " levels: no valid file does"}};
        }
        Frame frame;
        frame.node.kind = kind;
        frame.node.mark = mark;
        frame.anchor = anchor;
        frame.nodes_before = nodes_;
        frame.bytes_before = bytes_;
        spend(mark, 1, 0);
        stack_.push_back(std::move(frame));
    }

    void close() {
        Frame frame = std::move(stack_.back());
        stack_.pop_back();
        for (Node& merge : frame.merges) {
            merge_into(frame, std::move(merge));
        }
        if (frame.anchor != 0) {
            const std::size_t nodes = nodes_ - frame.nodes_before;
            const std::size_t bytes = bytes_ - frame.bytes_before;
            // The anchor keeps a copy of its own, which costs as much as an alias to it.
            spend(frame.node.mark, nodes, bytes);
            anchors_[frame.anchor] = Anchored{frame.node, nodes, bytes};
        }
        place(std::move(frame.node));
    }

    void place(Node node) {
        if (stack_.empty()) {
            root_ = std::move(node);
            return;
        }
        Frame& frame = stack_.back();
        if (frame.node.kind == Node::Kind::List) {
            frame.node.items.push_back(std::move(node));
        } else if (!frame.has_key) {
            take_key(frame, std::move(node));
        } else {
            put_value(frame, std::move(node));
        }
    }

    void take_key(Frame& frame, Node node) {
        if (node.kind != Node::Kind::Scalar) {
            throw Refused{{node.mark, path(), "a key must be a word"}};
        }
        frame.key = std::move(node.text);
        frame.key_mark = node.mark;
        frame.has_key = true;
    }

    /// `<<: *web` gives a map all keys of another that it does not say itself.
    static void merge_into(Frame& frame, Node merged) {
        for (Entry& entry : merged.entries) {
            if (frame.seen.emplace(entry.key, entry.mark).second) {
                frame.node.entries.push_back(std::move(entry));
            }
        }
    }

    void take_merge(Frame& frame, Node node) {
        std::vector<Node> maps;
        if (node.kind == Node::Kind::List) {
            maps = std::move(node.items);
        } else {
            maps.push_back(std::move(node));
        }
        for (Node& map : maps) {
            if (map.kind != Node::Kind::Map) {
                throw Refused{{frame.key_mark, path(), "<< takes a map: write <<: *anchor"}};
            }
            frame.merges.push_back(std::move(map));
        }
    }

    void put_value(Frame& frame, Node node) {
        if (frame.key == "<<") {
            take_merge(frame, std::move(node));
            frame.has_key = false;
            return;
        }
        const auto [first, is_new] = frame.seen.emplace(frame.key, frame.key_mark);
        if (!is_new) {
            problems_.push_back({frame.key_mark, path(),
                                 "this key is here twice, first in line " +
                                     std::to_string(first->second.line) + ": keep one"});
        } else {
            // yaml-cpp puts a missing value where the next thing is; the operator looks at the key.
            if (node.kind == Node::Kind::Null) {
                node.mark = frame.key_mark;
            }
            frame.node.entries.push_back({frame.key, frame.key_mark, std::move(node)});
        }
        frame.has_key = false;
    }

    std::vector<YamlProblem>& problems_;
    Node root_;
    Mark last_quoted_;
    std::vector<Frame> stack_;
    std::map<YAML::anchor_t, Anchored> anchors_;
    std::size_t nodes_ = 0;
    std::size_t bytes_ = 0;
    int documents_ = 0;
};

/// How many bytes the next `characters` characters of UTF-8 are.
std::size_t bytes_of(const std::string& text, std::size_t at, int characters) {
    std::size_t end = at;
    for (int i = 0; i < characters && end < text.size(); ++i) {
        ++end;
        while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) {
            ++end;
        }
    }
    return end - at;
}

/// yaml-cpp takes a quote that is still open at the end of the file for closed when a line feed
/// stands before the end.
bool is_never_closed(const std::string& text, Mark mark) {
    std::size_t at = 0;
    for (int line = 1; line < mark.line; ++line) {
        at = text.find('\n', at) + 1;
    }
    // The mark may be that of an anchor before the quote.
    at = text.find_first_of("'\"", at + bytes_of(text, at, mark.column - 1));
    if (at == std::string::npos) {
        return false;
    }
    const char quote = text[at];
    for (++at; at < text.size(); ++at) {
        const bool is_escape = quote == '"' && text[at] == '\\';
        const bool is_doubled = quote == '\'' && text.compare(at, 2, "''") == 0;
        if (is_escape || is_doubled) {
            ++at;
        } else if (text[at] == quote) {
            break;
        }
    }
    return at >= text.size();
}

/// yaml-cpp's words for its commonest complaints, in the operator's.
std::string in_our_words(const std::string& message) {
    static const std::map<std::string, std::string> words = {
        {"end of map not found",
         "this does not belong to the map above: check the indentation, "
         "and that each key is followed by \": \""},
        {"end of map flow not found", "a { is never closed: write the }"},
        {"end of sequence not found",
         "this does not belong to the list above: check the "
         "indentation"},
        {"end of sequence flow not found", "a [ is never closed: write the ]"},
        {"illegal map value",
         "a \": \" where no key can be: put the value in quotes, or check the "
         "indentation"},
        {"illegal block entry", "a \"- \" where no list can start: put it on its own line"},
        {"illegal EOF in scalar", "a quote is never closed"},
        {"illegal document indicator in scalar", "a quote is never closed"},
        {"illegal flow end", "a ] or } closes nothing: remove it"},
        {"unknown token", "this character cannot start a value: put the value in quotes"},
        {"alias not found after *", "a * starts an alias: put the value in quotes"},
        {"the referenced anchor is not defined",
         "this alias has no anchor before it: put the "
         "value in quotes if it is meant as text"},
    };
    // From 0.8 on, yaml-cpp adds the name to some of them.
    const auto found = words.find(message.substr(0, message.find(": ")));
    return found == words.end() ? "not YAML: " + shown(message) : found->second;
}

}  // namespace

ParsedYaml parse_yaml(const std::string& text) {
    ParsedYaml result;
    if (auto problem = refuse_text(text)) {
        result.problems.push_back(std::move(*problem));
        return result;
    }
    try {
        const std::string clean = without_carriage_returns(text);
        std::istringstream stream(clean);
        YAML::Parser parser(stream);
        TreeBuilder builder(result.problems);
        while (parser.HandleNextDocument(builder)) {
        }
        const Mark quoted = builder.last_quoted();
        if (quoted.line > 0 && is_never_closed(clean, quoted)) {
            result.problems.push_back({quoted, "", "this quote is never closed"});
        } else {
            result.root = builder.take_root();
        }
    } catch (const Refused& refused) {
        result.problems.push_back(refused.problem);
    } catch (const YAML::Exception& error) {
        result.problems.push_back({to_mark(error.mark), "", in_our_words(error.msg)});
    } catch (const std::exception& error) {
        result.problems.push_back({{}, "", "not YAML: " + shown(error.what())});
    }
    return result;
}

}  // namespace topsman::config
