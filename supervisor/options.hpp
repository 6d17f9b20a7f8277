#pragma once

// The command line: what the operator typed, as a call of the right function. Holds no code of the
// master: that comes in as functions.

#include "supervisor/control/commands.hpp"

#include <functional>
#include <string>

namespace topsman {

struct RunOptions {
    std::string file;
    bool take_over = false;  ///< end the workers that a dead master left, then start
};

/// What only the program itself can do. Each returns the exit code.
struct Programs {
    std::function<int(const RunOptions&)> run;
    std::function<int(const std::string& file, bool json)> check;
    control::EndLeftovers end_leftovers;
    std::string version;
};

/// Exit code 2 and one sentence on standard error when it cannot be understood.
int run_command_line(int argc, char** argv, const Programs& programs);

}  // namespace topsman
