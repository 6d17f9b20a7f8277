#include "config/reader.hpp"

#include "config/limits.hpp"
#include "config/names.hpp"

#include <algorithm>
#include <system_error>
#include <tuple>

namespace topsman::config {
namespace {

std::filesystem::path folder_of(const std::string& file) {
    std::error_code error;
    const std::filesystem::path absolute = std::filesystem::absolute(file, error);
    return error ? std::filesystem::path("/") : absolute.lexically_normal().parent_path();
}

void sort_by_place(std::vector<Problem>& problems) {
    std::stable_sort(problems.begin(), problems.end(), [](const Problem& a, const Problem& b) {
        return std::tie(a.line, a.column) < std::tie(b.line, b.column);
    });
}

}  // namespace

Reader::Reader(std::string file, const Environment& environment, Loaded& out)
    : file_(std::move(file)), folder_(folder_of(file_)), environment_(environment), out_(out) {}

void Reader::error(Mark mark, std::string path, std::string sentence) {
    if (out_.errors.size() >= kMaxProblems) {
        ++left_out_;
        return;
    }
    out_.errors.push_back({file_, mark.line, mark.column, std::move(path), std::move(sentence)});
}

void Reader::warning(Mark mark, std::string path, std::string sentence) {
    if (out_.warnings.size() < kMaxProblems) {
        out_.warnings.push_back(
            {file_, mark.line, mark.column, std::move(path), std::move(sentence)});
    }
}

const std::string* Reader::scalar(const At& at) {
    if (at.node.kind == Node::Kind::Scalar) {
        return &at.node.text;
    }
    const char* found = at.node.kind == Node::Kind::List  ? "a list"
                        : at.node.kind == Node::Kind::Map ? "a map"
                                                          : "nothing";
    error(at, std::string(found) + " where one value belongs" +
                  (at.example.empty() ? "" : ": write " + at.example));
    return nullptr;
}

std::vector<std::string> Reader::list(const At& at) {
    std::vector<std::string> result;
    if (at.node.kind != Node::Kind::List) {
        const std::string item =
            at.node.kind == Node::Kind::Scalar ? shown(at.node.text) : std::string("a, b");
        error(at, "this is a list: write [" + item + "]");
        return result;
    }
    for (std::size_t i = 0; i < at.node.items.size(); ++i) {
        const Node& item = at.node.items[i];
        const At item_at{item, at.path + "[" + std::to_string(i) + "]", ""};
        if (item.kind == Node::Kind::Null) {
            error(item_at, "an item without a value: remove it, or write \"\" for empty text");
        } else if (const std::string* text = scalar(item_at)) {
            result.push_back(*text);
        }
    }
    return result;
}

std::string Reader::absolute(const std::string& path) const {
    const std::filesystem::path whole = (folder_ / path).lexically_normal();
    std::string text = whole.string();
    if (text.size() > 1 && text.ends_with('/')) {
        text.pop_back();
    }
    return text;
}

void Reader::finish() {
    sort_by_place(out_.errors);
    sort_by_place(out_.warnings);
    if (left_out_ > 0) {
        out_.errors.push_back(
            {file_, 0, 0, "", std::to_string(left_out_) + " more problems are not shown"});
        left_out_ = 0;
    }
}

Mark mark_of(const Node& root, std::initializer_list<std::string_view> way) {
    const Node* node = &root;
    Mark mark = root.mark;
    for (const std::string_view key : way) {
        const Node* next = nullptr;
        for (const Entry& entry : node->entries) {
            if (entry.key == key) {
                next = &entry.value;
                mark = entry.value.mark;
            }
        }
        if (next == nullptr) {
            break;
        }
        node = next;
    }
    return mark;
}

}  // namespace topsman::config
