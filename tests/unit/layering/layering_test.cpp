// Who may include whom. The folders are layers, and this table is the whole rule: what a folder's
// files include with quotes must be below one of the named prefixes.

#include "tests/unit/layering/source_tree.hpp"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <regex>

namespace topsman {
namespace {

struct Layer {
    std::string folder;
    std::vector<std::string> may_include;  ///< prefixes of paths; its own folder is always allowed
};

// The longest folder that a file is in decides.
const std::vector<Layer> kLayers{
    {"shm", {}},
    {"config", {"shm/base/"}},
    {"supervisor", {"shm/", "config/"}},
    {"supervisor/core", {"shm/base/", "config/model.hpp"}},
    {"supervisor/posix", {"shm/", "config/model.hpp", "supervisor/core/"}},
    {"supervisor/control", {"shm/", "config/", "supervisor/"}},
    {"worker", {"shm/", "topsman/", "topsman.h"}},
    {"tests", {""}},
};

// Third parties that only some files know: what appears in few places can be replaced there.
const std::map<std::string, std::vector<std::string>> kReserved{
    {"yaml-cpp/", {"config/", "tests/"}},
    {"boost/interprocess/", {"shm/", "tests/"}},
    {"boost/process/", {"supervisor/posix/", "tests/"}},
    {"boost/beast/", {"supervisor/control/", "worker/", "tests/"}},
    {"spdlog/", {"supervisor/", "tests/"}},
    {"CLI/", {"supervisor/", "worker/", "tests/"}},
};

// The core decides and does nothing: no I/O, clock, log, thread or chance. It may know the signals'
// names (csignal), in which operators and policies speak.
const std::vector<std::string> kNotInCore{"boost/asio", "boost/process", "boost/interprocess",
                                          "spdlog/",    "yaml-cpp/",     "unistd.h",
                                          "sys/",       "fcntl.h",       "fstream",
                                          "iostream",   "thread",        "mutex",
                                          "future",     "random",        "poll.h",
                                          "filesystem"};

struct Include {
    std::string path;
    bool is_quoted = false;
};

std::vector<Include> includes_of(const std::string& text) {
    static const std::regex kInclude(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
    std::vector<Include> found;
    for (const std::string& line : lines_of(text)) {
        std::smatch match;
        if (std::regex_search(line, match, kInclude)) {
            found.push_back({match[2], match[1] == "\""});
        }
    }
    return found;
}

const Layer* layer_of(const SourceFile& file) {
    const Layer* best = nullptr;
    for (const Layer& layer : kLayers) {
        if (file.is_below(layer.folder) &&
            (best == nullptr || layer.folder.size() > best->folder.size())) {
            best = &layer;
        }
    }
    return best;
}

bool begins_with_one_of(const std::string& path, const std::vector<std::string>& prefixes) {
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [&](const auto& prefix) { return path.starts_with(prefix); });
}

/// Why `file` may not include this, or nothing.
std::optional<std::string> objection(const SourceFile& file, const Include& include) {
    const Layer* layer = layer_of(file);
    if (layer == nullptr) {
        return "is in no known folder";
    }
    const bool is_own = include.path.starts_with(layer->folder + "/");
    if (include.is_quoted && !is_own && !begins_with_one_of(include.path, layer->may_include)) {
        return "is in " + layer->folder + "/, which may not know";
    }
    for (const auto& [library, folders] : kReserved) {
        if (include.path.starts_with(library) && !begins_with_one_of(file.path, folders)) {
            return "is outside of the folders that may use";
        }
    }
    if (layer->folder == "supervisor/core" && begins_with_one_of(include.path, kNotInCore)) {
        return "is in the pure core, which may not use";
    }
    return std::nullopt;
}

TEST(LayeringTest, EveryIncludeIsAllowed) {
    int seen = 0;
    for (const char* folder : {"shm", "config", "supervisor", "worker", "tests"}) {
        for (const SourceFile& file : read_sources(folder, {".hpp", ".cpp"})) {
            for (const Include& include : includes_of(file.text)) {
                ++seen;
                if (const auto why = objection(file, include)) {
                    ADD_FAILURE() << file.path << " " << *why << " " << include.path;
                }
            }
        }
    }
    EXPECT_GT(seen, 100) << "the sources were not found";
}

TEST(LayeringTest, AnIncludeAgainstTheDirectionIsObjectedTo) {
    const auto refused = [](const char* path, const char* line) {
        const SourceFile file{path, line};
        return objection(file, includes_of(file.text).at(0)).has_value();
    };
    EXPECT_TRUE(refused("shm/lane.cpp", "#include \"config/model.hpp\""));
    EXPECT_TRUE(refused("config/load.cpp", "#include \"shm/segment.hpp\""));
    EXPECT_TRUE(refused("worker/worker.cpp", "#include \"supervisor/shell.hpp\""));
    EXPECT_TRUE(refused("supervisor/shell.cpp", "#include \"worker/include/topsman/worker.hpp\""));
    EXPECT_TRUE(refused("supervisor/core/slot.cpp", "#include \"config/load.hpp\""));
    EXPECT_TRUE(refused("supervisor/core/slot.cpp", "#include <sys/wait.h>"));
    EXPECT_TRUE(refused("supervisor/shell.cpp", "#  include <yaml-cpp/yaml.h>"));
    EXPECT_TRUE(refused("elsewhere/file.cpp", "#include <vector>"));
    EXPECT_FALSE(refused("supervisor/core/slot.cpp", "#include \"config/model.hpp\""));
    EXPECT_FALSE(refused("worker/worker.cpp", "#include \"shm/segment.hpp\""));
    EXPECT_FALSE(refused("config/yaml.cpp", "#include <yaml-cpp/yaml.h>"));
}

TEST(LayeringTest, YamlCppAndInterprocessAreKnownToAsFewFilesAsCanBe) {
    std::map<std::string, int> users{{"yaml-cpp/", 0}, {"boost/interprocess/", 0}};
    for (const char* folder : {"shm", "config", "supervisor", "worker"}) {
        for (const SourceFile& file : read_sources(folder, {".hpp", ".cpp"})) {
            const auto includes = includes_of(file.text);
            for (auto& user : users) {
                user.second += std::any_of(
                    includes.begin(), includes.end(),
                    [&](const Include& include) { return include.path.starts_with(user.first); });
            }
        }
    }
    EXPECT_LE(users["yaml-cpp/"], 2);
    EXPECT_LE(users["boost/interprocess/"], 3);
}

}  // namespace
}  // namespace topsman
