#pragma once

// What `topsman --help` and `topsman COMMAND --help` print.

#include <CLI/CLI.hpp>

#include <string>

namespace topsman {

/// Of the program as a whole: each command in a line.
extern const char* const kHelp;

/// "topsman counters add"
std::string path_of(const CLI::App& command);

/// A command's help: what it does, how it is called, the options, an example.
class CommandFormatter : public CLI::Formatter {
  public:
    std::string make_help(const CLI::App* app, std::string name,
                          CLI::AppFormatMode mode) const override;
};

}  // namespace topsman
