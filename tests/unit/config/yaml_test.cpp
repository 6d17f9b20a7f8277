#include "config/yaml.hpp"

#include "config/limits.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace topsman::config {
namespace {

using testing::HasSubstr;

/// "line:column: sentence" of the first problem.
std::string problem(const std::string& text) {
    const ParsedYaml parsed = parse_yaml(text);
    if (parsed.problems.empty()) {
        return "none";
    }
    const YamlProblem& first = parsed.problems[0];
    return std::to_string(first.mark.line) + ":" + std::to_string(first.mark.column) + ": " +
           first.sentence;
}

std::string repeated(const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) {
        all += text;
    }
    return all;
}

TEST(Yaml, GivesATreeWithPlaces) {
    const ParsedYaml parsed = parse_yaml("a: 1\nb:\n  - x\n  - {c: 'no'}\n");
    ASSERT_TRUE(parsed.root);
    const Node* list = parsed.root->find("b");
    ASSERT_EQ(list->items.size(), 2U);
    EXPECT_EQ(list->items[1].find("c")->text, "no");
    EXPECT_EQ(list->items[1].find("c")->mark.line, 4);
    EXPECT_EQ(list->items[1].find("c")->mark.column, 9);
    EXPECT_EQ(parsed.root->entries[1].mark.line, 2);
}

TEST(Yaml, ReadsBothKindsOfLineEnds) {
    const ParsedYaml parsed = parse_yaml("a: 1\r\nb: |\r\n  x\r\n  y\r\n");
    EXPECT_EQ(parsed.root->find("b")->text, "x\ny\n");
    EXPECT_THAT(problem("a: 1\rb: 2\r"), HasSubstr("1:5: control character 0x0D"));
}

TEST(Yaml, RefusesWhatIsNotPlainUtf8) {
    EXPECT_THAT(problem("\xEF\xBB\xBF"
                        "a: b"),
                HasSubstr("1:1: the file starts with a byte order"));
    EXPECT_THAT(problem(std::string("\xFF\xFE"
                                    "a\0",
                                    4)),
                HasSubstr("is UTF-16"));
    EXPECT_THAT(problem("a: \xE9\n"), HasSubstr("1:4: byte 0xE9 is not UTF-8"));
    EXPECT_THAT(problem("a: \xC0\x80"), HasSubstr("not UTF-8"));
    EXPECT_THAT(problem("a: \xED\xA0\x80"), HasSubstr("not UTF-8"));
    EXPECT_THAT(problem("a: \xF4\x90\x80\x80"), HasSubstr("not UTF-8"));
    EXPECT_THAT(problem("a: \xC3"), HasSubstr("not UTF-8"));
    EXPECT_THAT(problem(std::string("a: b\0c", 6)), HasSubstr("1:5: control character 0x00"));
    EXPECT_THAT(problem("a: \"\\0\""), HasSubstr("a NUL character inside of a value"));
    EXPECT_EQ(problem("a: \xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\x82"), "none");
}

TEST(Yaml, RefusesTabsInTheIndentation) {
    EXPECT_THAT(problem("a:\n\tb: c\n"), HasSubstr("2:1: a tab in the indentation: write spaces"));
    EXPECT_THAT(problem("a:\n  \tb: c\n"), HasSubstr("2:3: a tab"));
    EXPECT_EQ(problem("a: b\t# comment\n\t\n\t# comment\n"), "none");
}

TEST(Yaml, RefusesTwoDocumentsTagsAndOddKeys) {
    EXPECT_THAT(problem("a: b\n---\nc: d\n"), HasSubstr("2:1: a second document starts here"));
    EXPECT_EQ(problem("---\na: b\n...\n"), "none");
    EXPECT_THAT(problem("a: !!str 5"), HasSubstr("tags (!...) have no meaning"));
    EXPECT_THAT(problem("? [a]\n: b\n"), HasSubstr("a key must be a word"));
    EXPECT_THAT(problem("~: b\n"), HasSubstr("a key must be a word"));
}

TEST(Yaml, FindsEveryDuplicateKey) {
    const ParsedYaml parsed = parse_yaml("a: {x: 1, x: 2}\nb: 1\na: 2\n");
    ASSERT_EQ(parsed.problems.size(), 2U);
    EXPECT_EQ(parsed.problems[0].path, "a.x");
    EXPECT_EQ(parsed.problems[1].path, "a");
    EXPECT_EQ(parsed.problems[1].sentence, "this key is here twice, first in line 1: keep one");
    EXPECT_TRUE(parsed.root);
}

TEST(Yaml, CopiesAliases) {
    const ParsedYaml parsed = parse_yaml("a: &x [1, 2]\nb: *x\n");
    EXPECT_EQ(parsed.root->find("b")->items.size(), 2U);
    EXPECT_THAT(problem("a: *x\n"), HasSubstr("no anchor before it"));
}

TEST(Yaml, MergesMaps) {
    const ParsedYaml parsed = parse_yaml("a: &x {p: 1, q: 2}\nb: {<<: *x, q: 3, r: 4}\n");
    const Node* b = parsed.root->find("b");
    EXPECT_EQ(b->entries.size(), 3U);
    EXPECT_EQ(b->find("p")->text, "1");
    EXPECT_EQ(b->find("q")->text, "3");
    EXPECT_EQ(parse_yaml("a: {<<: [{p: 1}, {p: 2, q: 2}]}").root->find("a")->find("p")->text, "1");
    EXPECT_THAT(problem("a: {<<: 1}"), HasSubstr("<< takes a map"));
}

TEST(Yaml, RefusesCyclesAndAliasBombs) {
    EXPECT_THAT(problem("a: &x [*x]"), HasSubstr("inside of its own anchor"));
    EXPECT_THAT(problem("a: &x {b: {c: *x}}"), HasSubstr("inside of its own anchor"));
    std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
    for (int i = 1; i < 30; ++i) {
        const std::string alias = "*a" + std::to_string(i - 1) + ",";
        bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + repeated(alias, 9) +
                "]\n";
    }
    EXPECT_THAT(problem(bomb), HasSubstr("50000 values"));
    const std::string text =
        "a: &a " + std::string(500'000, 'x') + "\nb: [" + repeated("*a,", 9'999) + "]";
    EXPECT_THAT(problem(text), HasSubstr("4 MiB of text"));
}

TEST(Yaml, RefusesDepthOfEveryKind) {
    for (const char* part : {"[", "{a: ", "a: [\n ", "[[{a: "}) {
        EXPECT_THAT(problem(repeated(part, 100'000)), HasSubstr("deeper than 64 levels")) << part;
    }
    for (const char* part : {"- ", "? "}) {
        EXPECT_THAT(problem(repeated(part, 100'000)), HasSubstr("deeper than 64 levels")) << part;
    }
    std::string stairs;
    for (std::size_t i = 0; i < 1'000; ++i) {
        stairs += std::string(i, ' ') + "a:\n";
    }
    EXPECT_THAT(problem(stairs), HasSubstr("deeper than 64 levels"));
    EXPECT_EQ(problem(repeated("[", 60) + repeated("]", 60)), "none");
}

TEST(Yaml, DoesNotCountBracketsOfTextAsDepth) {
    const std::string brackets = repeated("[{", 100);
    EXPECT_EQ(problem("a: '" + brackets + "'"), "none");
    EXPECT_EQ(problem("a: \"\\\"" + brackets + "\""), "none");
    EXPECT_EQ(problem("a: b # " + brackets), "none");
    EXPECT_EQ(problem("a: b" + brackets), "none");
    EXPECT_EQ(problem("a: |\n  " + brackets + "\n\n  " + brackets + "\nb: c\n"), "none");
    EXPECT_EQ(problem("- a: >-\n    " + brackets + "\n  b: c\n"), "none");
    EXPECT_EQ(problem("- - |\n    " + brackets + "\n"), "none");
}

TEST(Yaml, RefusesAnythingLarge) {
    EXPECT_THAT(problem(std::string(10U << 20U, 'a')), HasSubstr("larger than 1 MiB"));
    EXPECT_THAT(problem(repeated("- a\n", 100'000)), HasSubstr("50000 values"));
}

TEST(Yaml, SaysInOurWordsWhatTheParserDidNotLike) {
    EXPECT_THAT(problem("a: b: c\n"), HasSubstr("1:5: a \": \" where no key can be"));
    EXPECT_THAT(problem("a: {b: c\n"), HasSubstr("a { is never closed"));
    EXPECT_THAT(problem("a: [b\n"), HasSubstr("a [ is never closed"));
    EXPECT_THAT(problem("a: 'b"), HasSubstr("a quote is never closed"));
    EXPECT_THAT(problem("a: 'b\n"), HasSubstr("1:4: this quote is never closed"));
    EXPECT_THAT(problem("\xC3\xA9: &x \"b\\\"\n"), HasSubstr("this quote is never closed"));
    EXPECT_THAT(problem("a: 'b''c\n"), HasSubstr("this quote is never closed"));
    EXPECT_EQ(problem("a: 'b''c'\n"), "none");
    EXPECT_EQ(problem("\xC3\xA9: &x \"b\\\"\"\n"), "none");
    EXPECT_THAT(problem("a:\n  b: 1\n c: 2\n"), HasSubstr("check the indentation"));
    EXPECT_THAT(problem("a: @b\n"), HasSubstr("put the value in quotes"));
}

TEST(Yaml, AnEmptyFileIsANull) {
    for (const char* text : {"", "# only a comment\n", "\n\n", "---\n"}) {
        const ParsedYaml parsed = parse_yaml(text);
        ASSERT_TRUE(parsed.root) << text;
        EXPECT_EQ(parsed.root->kind, Node::Kind::Null) << text;
    }
}

}  // namespace
}  // namespace topsman::config
