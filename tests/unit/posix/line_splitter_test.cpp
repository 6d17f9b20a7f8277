#include "supervisor/posix/line_splitter.hpp"

#include <gmock/gmock.h>

#include <vector>

namespace topsman::posix {
namespace {

using testing::ElementsAre;

class LineSplitterTest : public testing::Test {
  protected:
    void feed(std::string_view bytes) { splitter_.feed(bytes, emit_); }

    std::vector<std::string> lines_;
    LineSplitter::Line emit_ = [this](std::string_view line) { lines_.emplace_back(line); };
    LineSplitter splitter_{"web/0 | "};
};

TEST_F(LineSplitterTest, ALineIsGivenOutOnceItIsWhole) {
    feed("hel");
    feed("lo");
    EXPECT_TRUE(lines_.empty());
    feed("\nwor");
    EXPECT_THAT(lines_, ElementsAre("web/0 | hello"));
    feed("ld\n\n");
    EXPECT_THAT(lines_, ElementsAre("web/0 | hello", "web/0 | world", "web/0 | "));
}

TEST_F(LineSplitterTest, TheEndFinishesTheLastLine) {
    feed("one\ntwo");
    splitter_.finish(emit_);
    splitter_.finish(emit_);
    EXPECT_THAT(lines_, ElementsAre("web/0 | one", "web/0 | two"));
}

TEST_F(LineSplitterTest, AnotherGoesOnInItsPlace) {
    feed("one\ntw");
    LineSplitter next("web/0 | ");
    next.resume(splitter_.rest());
    next.feed("o\n", emit_);
    EXPECT_THAT(lines_, ElementsAre("web/0 | one", "web/0 | two"));
    EXPECT_EQ(next.last_words(), "one / two");
    LineSplitter::Rest endless;  // it may be another's that does not cut lines where we do
    endless.line = std::string(LineSplitter::kMaxLine * 3, 'x');
    endless.last_words = endless.line;
    next.resume(endless);
    EXPECT_LE(next.last_words().size(), LineSplitter::kMaxLastWords);
    next.feed("y\n", emit_);
}

TEST_F(LineSplitterTest, ALineOfExactlyTheLimitIsNotCut) {
    feed(std::string(LineSplitter::kMaxLine, 'x'));
    feed("\n");
    EXPECT_THAT(lines_, ElementsAre("web/0 | " + std::string(LineSplitter::kMaxLine, 'x')));
}

TEST_F(LineSplitterTest, ALongerLineIsCutVisiblyAndNothingIsLost) {
    feed(std::string(LineSplitter::kMaxLine * 2 + 3, 'x') + "\nnext\n");
    ASSERT_EQ(lines_.size(), 4U);
    const std::string full(LineSplitter::kMaxLine, 'x');
    EXPECT_EQ(lines_[0], "web/0 | " + full + "[...]");
    EXPECT_EQ(lines_[1], "web/0 | [...]" + full + "[...]");
    EXPECT_EQ(lines_[2], "web/0 | [...]xxx");
    EXPECT_EQ(lines_[3], "web/0 | next");
}

TEST_F(LineSplitterTest, AnEndlessLineTakesBoundedMemory) {
    std::size_t longest = 0;
    std::size_t total = 0;
    const LineSplitter::Line measure = [&](std::string_view line) {
        longest = std::max(longest, line.size());
        total += line.size();
    };
    const std::string chunk(65'536, 'x');
    for (int i = 0; i < 256; ++i) {
        splitter_.feed(chunk, measure);
    }
    EXPECT_LE(longest, LineSplitter::kMaxLine + 30);
    EXPECT_GE(total, chunk.size() * 255);
}

TEST_F(LineSplitterTest, KeepsTheLastWords) {
    for (int i = 0; i < 1'000; ++i) {
        feed("line " + std::to_string(i) + "\n");
    }
    feed("terminate called after\x1b[31m");
    const std::string words = splitter_.last_words();
    EXPECT_LE(words.size(), LineSplitter::kMaxLastWords);
    EXPECT_THAT(words, testing::EndsWith("line 999 / terminate called after [31m"));
}

TEST_F(LineSplitterTest, LastWordsOfOneLongLineAreItsEnd) {
    feed(std::string(5'000, 'a') + "end\n");
    EXPECT_EQ(splitter_.last_words(), std::string(LineSplitter::kMaxLastWords - 3, 'a') + "end");
}

}  // namespace
}  // namespace topsman::posix
