#include "config/substitute.hpp"

#include "config/limits.hpp"
#include "config/names.hpp"

#include <string_view>
#include <utility>

namespace topsman::config {
namespace {

class Substitution {
  public:
    Substitution(const std::map<std::string, std::string>& variables,
                 std::vector<YamlProblem>& problems)
        : variables_(variables), problems_(problems) {}

    void visit(Node& node, const std::string& path) {
        if (node.kind == Node::Kind::Scalar) {
            if (node.text.find("${") != std::string::npos) {
                scalar(node, path);
            }
            return;
        }
        for (std::size_t i = 0; i < node.items.size(); ++i) {
            visit(node.items[i], path + "[" + std::to_string(i) + "]");
        }
        for (Entry& entry : node.entries) {
            visit(entry.value, path + (path.empty() ? "" : ".") + shown(entry.key));
        }
    }

    [[nodiscard]] std::map<std::string, std::string> take_used() { return std::move(used_); }

  private:
    void scalar(Node& node, const std::string& path) {
        const std::string_view text = node.text;
        std::string result;
        for (std::size_t at = 0; at < text.size() && !full_;) {
            if (text.substr(at).starts_with("$${")) {
                result += "${";
                at += 3;
            } else if (text.substr(at).starts_with("${")) {
                const std::size_t end = text.find('}', at);
                if (end == std::string_view::npos) {
                    problems_.push_back({node.mark, path,
                                         "a ${ without its }: write ${NAME}, or $${ for the "
                                         "characters themselves"});
                    return;
                }
                reference(text.substr(at, end + 1 - at), node.mark, path, result);
                at = end + 1;
            } else {
                result += text[at++];
            }
        }
        node.text = std::move(result);
    }

    void append(std::string_view value, Mark mark, const std::string& path, std::string& result) {
        added_ += value.size();
        if (added_ > kMaxTextBytes) {
            full_ = true;
            problems_.push_back({mark, path, "the values of all ${NAME} together exceed 4 MiB"});
            return;
        }
        result += value;
    }

    void reference(std::string_view whole, Mark mark, const std::string& path,
                   std::string& result) {
        if (whole.starts_with(kListenerFd)) {
            if (path.find(".command[") == std::string::npos) {
                problems_.push_back({mark, path,
                                     "${LISTENER_FD:name} is for a pool's command: elsewhere read "
                                     "LISTEN_FDS and LISTEN_FDNAMES in the program"});
            }
            result += whole;
            return;
        }
        const std::string_view inner = whole.substr(2, whole.size() - 3);
        const std::size_t dash = inner.find(":-");
        const std::string name(inner.substr(0, dash));
        if (!is_variable_name(name)) {
            problems_.push_back({mark, path,
                                 "\"" + shown(whole) +
                                     "\" is no reference: write ${NAME} or "
                                     "${NAME:-default}, or $${ for the characters themselves"});
            return;
        }
        const auto found = variables_.find(name);
        if (found != variables_.end()) {
            used_.insert(*found);
        }
        const bool has_default = dash != std::string_view::npos;
        if (has_default && (found == variables_.end() || found->second.empty())) {
            append(inner.substr(dash + 2), mark, path, result);
        } else if (found != variables_.end()) {
            append(found->second, mark, path, result);
        } else {
            problems_.push_back({mark, path,
                                 "the variable " + shown(name) +
                                     " is not set: set it, or write ${" + shown(name) +
                                     ":-default}; $${ stands for the characters "
                                     "themselves"});
        }
    }

    const std::map<std::string, std::string>& variables_;
    std::vector<YamlProblem>& problems_;
    std::map<std::string, std::string> used_;
    std::size_t added_ = 0;
    bool full_ = false;
};

}  // namespace

std::map<std::string, std::string> substitute(Node& root,
                                              const std::map<std::string, std::string>& variables,
                                              std::vector<YamlProblem>& problems) {
    Substitution substitution(variables, problems);
    substitution.visit(root, "");
    return substitution.take_used();
}

}  // namespace topsman::config
