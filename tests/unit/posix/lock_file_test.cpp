#include "supervisor/posix/lock_file.hpp"

#include "supervisor/posix/process_info.hpp"
#include "tests/unit/posix/support.hpp"

#include <gmock/gmock.h>

#include <csignal>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace topsman::posix {
namespace {

class LockFileTest : public testing::Test {
  protected:
    test::TempDir dir_;
    std::string path_ = dir_.path("shop.lock");
};

TEST_F(LockFileTest, IsOursAloneAndCloseOnExec) {
    const auto lock = LockFile::acquire(path_);
    ASSERT_TRUE(lock) << lock.error().message;

    struct stat status {};

    ASSERT_EQ(::stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    EXPECT_NE(::fcntl(lock->fd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(LockFileTest, ASecondMasterIsToldWhoRuns) {
    const auto lock = LockFile::acquire(path_);
    ASSERT_TRUE(lock);
    const auto second = LockFile::acquire(path_);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, std::errc::device_or_resource_busy);
    EXPECT_EQ(second.error().message, "already running (pid " + std::to_string(::getpid()) + ")");
}

TEST_F(LockFileTest, OfTwoProcessesOneGetsIt) {
    auto ready = test::make_pipe();
    const pid_t holder = ::fork();
    if (holder == 0) {
        const auto lock = LockFile::acquire(path_);
        (void)!::write(ready.write_end.get(), lock ? "1" : "0", 1);
        (void)::pause();
        ::_exit(0);
    }
    ASSERT_EQ(test::read_text(ready.read_end.get(), "1"), "1");
    const auto refused = LockFile::acquire(path_);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "already running (pid " + std::to_string(holder) + ")");
    (void)::kill(holder, SIGKILL);
    (void)test::wait_child(holder);
    EXPECT_TRUE(LockFile::acquire(path_)) << "a killed master holds nothing";
}

TEST_F(LockFileTest, ALockThatADyingChildStillHoldsIsWaitedFor) {
    // A child that a dead master forked a moment ago: the lock is held, its recorded owner is gone.
    ASSERT_EQ(test::in_child([&] { return LockFile::acquire(path_) ? 0 : 1; }), 0);
    UniqueFd held(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(::flock(held.get(), LOCK_EX | LOCK_NB), 0);
    auto begun = test::make_pipe();
    std::thread dying([&] {
        (void)test::read_text(begun.read_end.get());
        held.reset();
    });
    begun.write_end.reset();
    const auto lock = LockFile::acquire(path_);
    dying.join();
    EXPECT_TRUE(lock) << lock.error().message;
}

TEST_F(LockFileTest, WhoHoldsItAndIsNotRecordedIsGivenUpOnAfterAWhile) {
    const UniqueFd held(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::flock(held.get(), LOCK_EX | LOCK_NB), 0);
    const auto lock = LockFile::acquire(path_);
    ASSERT_FALSE(lock);
    EXPECT_EQ(lock.error().message, "already running");
}

TEST_F(LockFileTest, ARecordedNumberThatIsAnotherProcessNowDoesNotCount) {
    const UniqueFd held(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const std::string stale = std::to_string(::getpid()) + " 1\n";  // our pid, started at boot
    ASSERT_EQ(::write(held.get(), stale.data(), stale.size()), static_cast<ssize_t>(stale.size()));
    ASSERT_EQ(::flock(held.get(), LOCK_EX | LOCK_NB), 0);
    EXPECT_EQ(LockFile::acquire(path_).error().message, "already running");
}

TEST_F(LockFileTest, AFileThatWasExchangedMeanwhileIsNotTheLock) {
    // Somebody unlinks it while a newcomer waits for it: what the newcomer then gets is the lock of
    // a file that nobody can open any more, and has to be given up for the new one.
    UniqueFd held(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::flock(held.get(), LOCK_EX | LOCK_NB), 0);
    const UniqueFd opened(::inotify_init1(IN_CLOEXEC));
    ASSERT_GE(::inotify_add_watch(opened.get(), path_.c_str(), IN_OPEN), 0);
    std::thread operation([&] {
        (void)test::wait_readable(opened.get());
        (void)::unlink(path_.c_str());
        const UniqueFd another(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        held.reset();
    });
    const auto lock = LockFile::acquire(path_);
    operation.join();
    ASSERT_TRUE(lock) << lock.error().message;

    struct stat named {};

    struct stat locked {};

    ASSERT_EQ(::stat(path_.c_str(), &named), 0);
    ASSERT_EQ(::fstat(lock->fd(), &locked), 0);
    EXPECT_EQ(named.st_ino, locked.st_ino);
}

TEST_F(LockFileTest, ALinkInItsPlaceIsNotFollowed) {
    ASSERT_EQ(::symlink("/etc/passwd", path_.c_str()), 0);
    EXPECT_FALSE(LockFile::acquire(path_));
}

TEST_F(LockFileTest, AFolderThatIsNotThereIsNamed) {
    EXPECT_THAT(LockFile::acquire(dir_.path("no/x.lock")).error().message,
                testing::HasSubstr("no/x.lock: No such file or directory"));
}

}  // namespace
}  // namespace topsman::posix
