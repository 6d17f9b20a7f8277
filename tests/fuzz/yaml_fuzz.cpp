// Any text at all: the file is refused with good sentences or gives a config that keeps its
// promises. Nothing else may happen.

#include "config/diff.hpp"
#include "config/load.hpp"
#include "config/names.hpp"
#include "shm/base/check.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace {

using namespace topsman::config;

void check_problem(const Problem& problem, int lines) {
    CHECK(!problem.sentence.empty());
    CHECK(problem.line >= 0 && problem.line <= lines + 1);
    CHECK((problem.line == 0) == (problem.column == 0));
    for (const char c : problem.text()) {
        CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
    }
}

void check_config(const Config& config) {
    CHECK(is_name(config.cluster));
    CHECK(!config.pools.empty());
    std::uint64_t wanted = 0;
    for (const Pool& pool : config.pools) {
        CHECK(is_name(pool.name) && pool.workers >= 1 && !pool.exec.command.empty());
        CHECK(pool.exec.working_directory.starts_with("/"));
        CHECK(pool.rollout.max_surge + pool.rollout.max_unavailable >= 1);
        CHECK(pool.backoff.factor >= 1 && pool.backoff.jitter >= 0 && pool.backoff.jitter <= 1);
        CHECK(pool.stop_timeout.count() >= 0 && pool.backoff.initial <= pool.backoff.max);
        for (const std::string& name : pool.exec.listeners) {
            CHECK(config.find_listener(name) != nullptr);
        }
        for (const std::string& argument : pool.exec.command) {
            CHECK(argument.find('\0') == std::string::npos);
        }
        wanted += std::uint64_t{pool.workers} + pool.rollout.max_surge;
    }
    CHECK(wanted * 2 <= config.segment.lanes);
    CHECK(diff(config, config).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(data, data + size);
    Environment environment;
    environment.cpus = 2;
    environment.variables = {{"HOME", "/root"}, {"A", "${A}"}};
    const Loaded loaded = load_text(text, "/nonexistent/fuzz.yaml", environment);
    CHECK(loaded.config.has_value() == loaded.errors.empty());
    const auto lines = static_cast<int>(std::count(text.begin(), text.end(), '\n'));
    for (const Problem& problem : loaded.errors) {
        check_problem(problem, lines);
    }
    for (const Problem& problem : loaded.warnings) {
        check_problem(problem, lines);
    }
    if (loaded.config) {
        check_config(*loaded.config);
    }
    return 0;
}
