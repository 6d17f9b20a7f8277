#pragma once

// A worker's stdout and stderr, read by the master line by line.
//
// The write end is opened O_RDWR through /proc/self/fd, so that it always has a reader: the
// master's death is no SIGPIPE for the worker. A full pipe makes the writer wait, so the master
// drains it before all but signs of life. Nothing is dropped.

#include "shm/base/result.hpp"
#include "shm/base/unique_fd.hpp"
#include "supervisor/posix/line_splitter.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <sys/types.h>
#include <utility>

namespace topsman::posix {

class OutputPipe {
  public:
    using Line = LineSplitter::Line;

    /// `label` begins each line ("web/0 | ..."); `writer` becomes the end for the child, to be
    /// closed after the launch. `owner`: the worker's user and group where they differ from ours,
    /// so that it may open /dev/stderr itself, as many programs do.
    [[nodiscard]] static Result<OutputPipe> open(
        const std::string& label, UniqueFd& writer,
        std::optional<std::pair<uid_t, gid_t>> owner = std::nullopt);

    /// That of a worker whose master is dead, through its own descriptors 1 and 2; `inode` is that
    /// of the pipe. What waits in it is read.
    [[nodiscard]] static Result<OutputPipe> reopen(const std::string& label, std::uint32_t pid,
                                                   std::uint64_t inode);

    /// Goes on with a reader that was inherited, and what had been read from it.
    [[nodiscard]] static OutputPipe resume(const std::string& label, UniqueFd reader,
                                           LineSplitter::Rest rest);

    /// What begins each line from here on.
    void rename(const std::string& label);

    [[nodiscard]] LineSplitter::Rest rest() const { return lines_.rest(); }

    /// The pipe's, unique while it is open.
    [[nodiscard]] std::uint64_t inode() const noexcept;

    [[nodiscard]] int fd() const noexcept { return reader_.get(); }

    /// What is waiting, as whole lines; at most about one pipe's worth a call, so that a flood does
    /// not keep the master from its other duties. Lines over 8 KiB are cut visibly into several.
    /// Never blocks. False: every writer is gone, and nothing more will come.
    bool read(const Line& line);

    /// One more read, and then an unfinished last line. After the writer's death.
    void finish(const Line& line);

    [[nodiscard]] std::size_t bytes_waiting() const noexcept;
    [[nodiscard]] std::size_t capacity() const noexcept;

    /// Is the writer waiting, or about to?
    [[nodiscard]] bool is_full() const noexcept;

    /// The last lines, joined by " / ": at most 1 KiB, control characters blanked.
    [[nodiscard]] std::string last_words() const { return lines_.last_words(); }

  private:
    OutputPipe(UniqueFd reader, const std::string& label);

    UniqueFd reader_;
    LineSplitter lines_;
};

}  // namespace topsman::posix
