#include "config/check.hpp"
#include "supervisor/leftovers.hpp"
#include "supervisor/options.hpp"
#include "supervisor/posix/init.hpp"
#include "supervisor/posix/launcher.hpp"
#include "supervisor/segment_plan.hpp"
#include "supervisor/start.hpp"
#include "supervisor/version.hpp"

#include <cstdio>
#include <exception>
#include <iostream>
#include <unistd.h>

namespace {

int run(const topsman::RunOptions& options) {
    // After a death there may be workers that serve on: the next master goes on with them.
    const auto start = [&options](bool again) {
        return topsman::supervisor::run_master({options.file, options.take_over && !again, again});
    };
    return ::getpid() == 1 ? topsman::posix::run_as_init(start) : start(false);
}

}  // namespace

int main(int argc, char** argv) {
    topsman::posix::ensure_standard_descriptors();
    try {
        topsman::Programs programs;
        programs.run = run;
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
