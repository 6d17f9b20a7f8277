#include "config/env_file.hpp"

#include "loading.hpp"

#include <gmock/gmock.h>

namespace topsman::config {
namespace {

using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

EnvironmentVariables parsed(const std::string& text) {
    return parse_env_file(text, "app.env").value();
}

TEST(EnvFile, ReadsSystemdsSyntax) {
    EXPECT_THAT(parsed("# comment\n; another\n\nA=1\n B = two words  \nC=\n"),
                UnorderedElementsAre(Pair("A", "1"), Pair("B", "two words"), Pair("C", "")));
    EXPECT_THAT(parsed("A='single $x \\n'\nB=\"double \\\" \\$ \\n\"\n"),
                UnorderedElementsAre(Pair("A", "single $x \\n"), Pair("B", "double \" $ \\n")));
    EXPECT_THAT(parsed("A=\"two\nlines\"\nB=one\\\n two\n"),
                UnorderedElementsAre(Pair("A", "two\nlines"), Pair("B", "one two")));
    EXPECT_THAT(parsed("A=\\#x\\ y\r\nB=a#b\n"),
                UnorderedElementsAre(Pair("A", "#x y"), Pair("B", "a#b")));
    EXPECT_THAT(parsed("# goes on \\\nA=1\nB=2"), UnorderedElementsAre(Pair("B", "2")));
    EXPECT_THAT(parsed("A=1\nA=2\n"), UnorderedElementsAre(Pair("A", "2")));
}

TEST(EnvFile, SaysWhereItIsWrong) {
    EXPECT_THAT(parse_env_file("A=1\nrubbish\n", "app.env").error().message,
                HasSubstr("app.env:2: a line without ="));
    EXPECT_THAT(parse_env_file("export A=1\n", "app.env").error().message,
                HasSubstr("app.env:1: \"export A\" is no variable's name: remove export"));
    EXPECT_THAT(parse_env_file("A=1\nB='x\ny\n", "app.env").error().message,
                HasSubstr("app.env:2: a quote is never closed"));
    EXPECT_THAT(parse_env_file(std::string("A=\0", 3), "app.env").error().message,
                HasSubstr("NUL"));
}

TEST(EnvFile, NamesTheFileThatItCannotRead) {
    const TempFolder folder;
    EXPECT_THAT(read_env_file(folder.path("none")).error().message,
                HasSubstr(folder.path("none") + ": cannot be read: No such file"));
    EXPECT_THAT(
        read_env_file(folder.write("big", std::string((1U << 20U) + 1, '#'))).error().message,
        HasSubstr("larger than 1024 KiB"));
    EXPECT_EQ(read_env_file(folder.write("a", "A=1\n"))->at("A"), "1");
}

}  // namespace
}  // namespace topsman::config
