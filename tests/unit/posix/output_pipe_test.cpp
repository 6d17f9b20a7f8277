#include "supervisor/posix/output_pipe.hpp"

#include "tests/unit/posix/support.hpp"

#include <gmock/gmock.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace topsman::posix {
namespace {

using testing::ElementsAre;

void put(int fd, std::string_view text) {
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

class OutputPipeTest : public testing::Test {
  protected:
    std::vector<std::string> lines_;
    OutputPipe::Line keep_ = [this](std::string_view line) { lines_.emplace_back(line); };
    UniqueFd writer_;
    OutputPipe pipe_ = OutputPipe::open("web/0", writer_).value();
};

TEST_F(OutputPipeTest, GivesOutWholeLinesAndKeepsTheRest) {
    put(writer_.get(), "one\ntw");
    EXPECT_TRUE(pipe_.read(keep_));
    EXPECT_THAT(lines_, ElementsAre("web/0 | one"));
    put(writer_.get(), "o\n");
    EXPECT_TRUE(pipe_.read(keep_));
    EXPECT_THAT(lines_, ElementsAre("web/0 | one", "web/0 | two"));
}

TEST_F(OutputPipeTest, TheEndGivesOutWhatWasNotFinished) {
    put(writer_.get(), "first\nlast words");
    writer_.reset();
    pipe_.finish(keep_);
    EXPECT_THAT(lines_, ElementsAre("web/0 | first", "web/0 | last words"));
    EXPECT_EQ(pipe_.last_words(), "first / last words");
    EXPECT_FALSE(pipe_.read(keep_)) << "nobody can write any more";
}

TEST_F(OutputPipeTest, AWorkerOutlivesTheDeathOfItsReader) {
    // As when the master is killed: the worker's own descriptor is a reader, too.
    UniqueFd another;
    pipe_ = OutputPipe::open("", another).value();
    put(writer_.get(), "still here\n");
    char buffer[32];
    EXPECT_EQ(::read(writer_.get(), buffer, sizeof buffer), 11) << "and the next master reads it";
}

TEST_F(OutputPipeTest, TheWorkersEndBlocksAndOursDoesNot) {
    EXPECT_EQ(::fcntl(writer_.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(pipe_.fd(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(writer_.get(), F_GETFD) & FD_CLOEXEC, 0);
    EXPECT_NE(::fcntl(pipe_.fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(OutputPipeTest, SaysWhenItIsFull) {
    EXPECT_FALSE(pipe_.is_full());
    EXPECT_EQ(pipe_.bytes_waiting(), 0U);
    const std::string block(4'096, '\n');
    ASSERT_EQ(::fcntl(writer_.get(), F_SETFL, O_RDWR | O_NONBLOCK), 0);
    while (::write(writer_.get(), block.data(), block.size()) > 0) {
    }
    EXPECT_TRUE(pipe_.is_full());
    EXPECT_EQ(pipe_.bytes_waiting(), pipe_.capacity());
    EXPECT_TRUE(pipe_.read(keep_));
    EXPECT_FALSE(pipe_.is_full());
}

TEST_F(OutputPipeTest, OneReadIsBoundedHoweverMuchIsWritten) {
    ASSERT_GT(::fcntl(writer_.get(), F_SETPIPE_SZ, 512 * 1'024), 0);
    const std::string block(std::size_t{256} * 1'024, '\n');
    put(writer_.get(), block);
    EXPECT_TRUE(pipe_.read(keep_));
    EXPECT_GT(pipe_.bytes_waiting(), 100'000U);
}

TEST_F(OutputPipeTest, AWorkerOfAnotherUserMayOpenItsOwnOutput) {
    if (::geteuid() != 0) {
        GTEST_SKIP() << "needs root";
    }
    UniqueFd theirs;
    ASSERT_TRUE(OutputPipe::open("", theirs, std::pair<uid_t, gid_t>{65'534, 65'534}));
    EXPECT_EQ(test::in_child([&] {
                  if (::setgid(65'534) != 0 || ::setuid(65'534) != 0) {
                      return 9;
                  }
                  const std::string path = "/proc/self/fd/" + std::to_string(theirs.get());
                  return ::open(path.c_str(), O_WRONLY) >= 0 ? 0 : 1;
              }),
              0);
}

}  // namespace
}  // namespace topsman::posix
