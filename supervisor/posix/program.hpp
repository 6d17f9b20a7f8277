#pragma once

#include <string>
#include <vector>

namespace topsman::posix {

/// The program that this process runs, as it was started: what is found under that name later may
/// be a newer one.
struct Program {
    std::string path;                ///< absolute; symbolic links are not followed
    std::vector<std::string> words;  ///< argv
};

/// Call before anything changes the working directory. Where argv[0] does not lead to the program
/// that runs (a script's `exec -a`), the path is the file's own name.
[[nodiscard]] Program this_program(int argc, char** argv);

}  // namespace topsman::posix
