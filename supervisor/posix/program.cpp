#include "supervisor/posix/program.hpp"

#include "supervisor/posix/environment.hpp"
#include "supervisor/posix/executable.hpp"

#include <filesystem>
#include <system_error>

namespace topsman::posix {

Program this_program(int argc, char** argv) {
    namespace fs = std::filesystem;
    Program program;
    program.words.assign(argv, argv + argc);
    std::error_code failed;
    const fs::path running = "/proc/self/exe";
    const std::vector<std::string> candidates =
        argc > 0 ? executable_candidates(argv[0], own_environment()) : std::vector<std::string>();
    for (const std::string& candidate : candidates) {
        if (fs::equivalent(candidate, running, failed) && !failed) {
            program.path = fs::absolute(candidate, failed).lexically_normal();
            return program;
        }
    }
    program.path = fs::read_symlink(running, failed);
    return program;
}

}  // namespace topsman::posix
