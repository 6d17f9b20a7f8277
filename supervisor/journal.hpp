#pragma once

// The master's log, to stderr: by spdlog, asynchronous and bounded. The master never waits for who
// reads it: when the queue is full the oldest lines are dropped, counted, and the count is said.
//
// Levels and shape follow where stderr goes: under journald each line carries its priority and no
// time or colour, in a pipe there is no colour, on a terminal both.

#include "config/model.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace topsman {

class Journal {
  public:
    /// Starts the log's thread: call after the signals are blocked, so that it inherits that.
    explicit Journal(const config::Log& options);
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    void configure(const config::Log& options);  ///< level and format, at once

    void debug(std::string_view line);
    void info(std::string_view line);
    void warning(std::string_view line);
    void error(std::string_view line);
    /// A worker's own output, as it is: "web/0 | ...". To stdout, without time or level.
    void output(std::string_view line);

    /// Waits until everything said so far is written, at most `milliseconds`. False: it was not; a
    /// reader that does not read must not keep the master from ending.
    bool flush(int milliseconds);

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace topsman
