#include "shm/last_words.hpp"

#include "shm_test_helper.hpp"

#include <csignal>
#include <memory>
#include <sys/wait.h>

namespace topsman::shm {
namespace {

TEST(LastWordsTest, WhatWasSaidLastIsRead) {
    auto words = std::make_unique<LastWords>();
    EXPECT_EQ(words->read(), "");
    words->say("stock ran out of memory");
    words->say("assertion failed");
    EXPECT_EQ(words->read(), "assertion failed");
    words->clear();
    EXPECT_EQ(words->read(), "");
}

TEST(LastWordsTest, TooLongIsCutBetweenCharacters) {
    auto words = std::make_unique<LastWords>();
    std::string text(kLastWordsBytes - 1, 'a');
    words->say(text + "ö and more");
    EXPECT_EQ(words->read(), text);
}

TEST(LastWordsTest, TheyAreReadAfterDeath) {
    auto& words = shared<LastWords>();
    const int status = in_child([&words] {
        (void)std::signal(SIGSEGV, SIG_DFL);
        words.say("pointer was null\n");
        (void)std::raise(SIGKILL);
    });
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(words.read(), "pointer was null");
}

TEST(LastWordsTest, AnImpossibleLengthIsBounded) {
    auto words = std::make_unique<LastWords>();
    words->say("x");
    words->length.store(0xffff'ffff);
    EXPECT_LE(words->read().size(), kLastWordsBytes);
}

}  // namespace
}  // namespace topsman::shm
