#include "config/check.hpp"
#include "supervisor/leftovers.hpp"
#include "supervisor/options.hpp"
#include "supervisor/posix/execution.hpp"
#include "supervisor/posix/init.hpp"
#include "supervisor/posix/launcher.hpp"
#include "supervisor/posix/program.hpp"
#include "supervisor/resume.hpp"
#include "supervisor/segment_plan.hpp"
#include "supervisor/start.hpp"
#include "supervisor/upgrade_check.hpp"
#include "supervisor/version.hpp"

#include <cstdio>
#include <exception>
#include <iostream>
#include <string_view>
#include <unistd.h>

namespace {

int run(const topsman::RunOptions& options, const topsman::posix::Program& program) {
    // After a death there may be workers that serve on: the next master goes on with them.
    const auto start = [&](bool again) {
        return topsman::supervisor::run_master(
            {options.file, options.take_over && !again, program, again});
    };
    return ::getpid() == 1 ? topsman::posix::run_as_init(start) : start(false);
}

}  // namespace

int main(int argc, char** argv) {
    topsman::posix::ensure_standard_descriptors();
    if (argc == 2 && std::string_view(argv[1]) == topsman::supervisor::kUpgradeCheck) {
        return topsman::supervisor::check_handover();
    }
    // Outside of all that catches: what nobody catches executes the old program again.
    if (const auto passed = topsman::posix::take_passed()) {
        return topsman::supervisor::resume_master(*passed, argv);
    }
    try {
        topsman::Programs programs;
        programs.run = [argc, argv](const topsman::RunOptions& options) {
            return run(options, topsman::posix::this_program(argc, argv));
        };
        programs.check = [](const std::string& file, bool json) {
            return topsman::config::check_command(file, json, std::cout, std::cerr,
                                                  topsman::config::Environment::of_this_process(),
                                                  topsman::supervisor::segment_size_here);
        };
        programs.end_leftovers = topsman::supervisor::end_leftovers;
        programs.version = topsman::kVersion;
        return topsman::run_command_line(argc, argv, programs);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "topsman: %s\n", error.what());
        return 1;
    }
}
