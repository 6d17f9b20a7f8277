// README.md, the examples and the code say the same.

#include "config/schema.hpp"
#include "config/yaml.hpp"
#include "loading.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <map>
#include <sstream>

namespace topsman::config {
namespace {

using testing::IsEmpty;

std::string text_of(const std::string& path) {
    std::ifstream file(std::string(TOPSMAN_SOURCE_DIR "/config/") + path);
    EXPECT_TRUE(file) << path;
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::vector<KnownKey> accepted_keys() {
    std::vector<KnownKey> keys = known_keys();
    std::erase_if(keys, [](const KnownKey& key) { return !key.refused.empty(); });
    return keys;
}

std::string without_quotes(std::string text) {
    std::erase(text, '`');
    return text;
}

TEST(Documentation, TheReadmesTableIsTheCodes) {
    std::vector<std::string> documented;
    std::istringstream lines(text_of("README.md"));
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("| `")) {
            continue;
        }
        const std::size_t second = line.find(" | ");
        const std::size_t third = line.find(" | ", second + 3);
        ASSERT_NE(third, std::string::npos) << line;
        documented.push_back(without_quotes(line.substr(2, second - 2)) + " = " +
                             without_quotes(line.substr(second + 3, third - second - 3)));
    }
    std::vector<std::string> coded;
    for (const KnownKey& key : accepted_keys()) {
        coded.push_back(key.path + " = " + key.default_text);
    }
    EXPECT_THAT(documented, testing::UnorderedElementsAreArray(coded));
}

TEST(Documentation, SayingADefaultChangesNothing) {
    const std::string listeners = "listeners: { x: { address: '[::]:0' } }\n";
    const std::string plain = listeners + "pools: { web: { command: [sleep] } }\n";
    const Config expected = load(plain).config.value();
    for (const KnownKey& key : accepted_keys()) {
        if (key.default_text.starts_with("(")) {
            continue;
        }
        std::string text;
        if (key.path.starts_with("shared.queues.NAME.")) {
            const auto with = [&](const std::string& inside) {
                return plain + "shared: { queues: { q: { " + inside + " } } }\n";
            };
            EXPECT_EQ(load(with(key.path.substr(19) + ": " + key.default_text)).config,
                      load(with("")).config)
                << key.path;
            continue;
        }
        if (key.path.starts_with("shared.channels.NAME.")) {
            const auto with = [&](const std::string& inside) {
                return plain + "shared: { channels: { c: { to: web" + inside + " } } }\n";
            };
            EXPECT_EQ(load(with(", " + key.path.substr(21) + ": " + key.default_text)).config,
                      load(with("")).config)
                << key.path;
            continue;
        }
        if (key.path.starts_with("pools.NAME.") || key.path.starts_with("listeners.NAME.")) {
            const bool is_pool = key.path[0] == 'p';
            const std::string rest = key.path.substr(is_pool ? 11 : 15);
            const std::size_t dot = rest.find('.');
            const std::string written = dot == std::string::npos
                                            ? rest + ": " + key.default_text
                                            : rest.substr(0, dot) + ": { " + rest.substr(dot + 1) +
                                                  ": " + key.default_text + " }";
            text = is_pool ? listeners + "pools: { web: { command: [sleep], " + written + " } }\n"
                           : "listeners: { x: { address: '[::]:0', " + written +
                                 " } }\npools: { web: { command: [sleep] } }\n";
        } else {
            const std::size_t dot = key.path.find('.');
            text = plain + (dot == std::string::npos
                                ? key.path + ": " + key.default_text
                                : key.path.substr(0, dot) + ": { " + key.path.substr(dot + 1) +
                                      ": " + key.default_text + " }");
        }
        const Loaded loaded = load(text);
        EXPECT_THAT(texts(loaded.errors), IsEmpty()) << text;
        EXPECT_EQ(loaded.config, expected) << text;
    }
}

/// "pools.NAME.backoff.initial" -> its node, whatever the pool is called.
const Node* find_key(const Node& node, const std::string& path) {
    const std::size_t dot = path.find('.');
    const std::string first = path.substr(0, dot);
    for (const Entry& entry : node.entries) {
        if (entry.key != first && first != "NAME") {
            continue;
        }
        const Node* found =
            dot == std::string::npos ? &entry.value : find_key(entry.value, path.substr(dot + 1));
        if (found != nullptr) {
            return found;
        }
    }
    return nullptr;
}

TEST(Documentation, TheReferenceHasEveryKeyAndMarksTheDefaults) {
    const std::string text = text_of("examples/reference.yaml");
    const ParsedYaml parsed = parse_yaml(text);
    ASSERT_TRUE(parsed.root);
    std::vector<std::string> lines = {""};
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    for (const KnownKey& key : accepted_keys()) {
        const Node* node = find_key(*parsed.root, key.path);
        ASSERT_NE(node, nullptr) << key.path << " is not in reference.yaml";
        if (node->kind != Node::Kind::Scalar) {
            continue;
        }
        const std::string& line = lines[static_cast<std::size_t>(node->mark.line)];
        const bool is_marked = line.find("(default)") != std::string::npos;
        EXPECT_EQ(is_marked, node->text == key.default_text) << line;
    }
}

TEST(Documentation, TheExamplesAreGood) {
    for (const char* name : {"quickstart", "reference", "node", "python"}) {
        const std::string path =
            std::string(TOPSMAN_SOURCE_DIR "/config/examples/") + name + ".yaml";
        const Loaded loaded = load_file(path, small_machine());
        EXPECT_THAT(texts(loaded.errors), IsEmpty()) << name;
        for (const Problem& warning : loaded.warnings) {
            EXPECT_TRUE(warning.path.ends_with("command[0]")) << warning.text();
        }
    }
    const std::string quickstart = text_of("examples/quickstart.yaml");
    EXPECT_LE(std::count(quickstart.begin(), quickstart.end(), '\n'), 15);
}

}  // namespace
}  // namespace topsman::config
