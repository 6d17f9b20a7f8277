// Rules of the house that a reader of the text can check.

#include "tests/unit/layering/source_tree.hpp"

#include <gtest/gtest.h>

#include <regex>

namespace topsman {
namespace {

const std::vector<std::string> kCode{".hpp", ".cpp"};
const std::vector<std::string> kText{".hpp", ".cpp", ".md", ".txt", ".in", ".sh", ".py", ".yaml"};

/// The text with comments and string literals blanked, so that a rule about code sees only code.
std::string code_only(std::string text) {
    enum class Mode { Code, Line, Block, String, Char } mode = Mode::Code;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char next = i + 1 < text.size() ? text[i + 1] : '\0';
        const char now = text[i];
        if (now == '\n') {
            mode = mode == Mode::Block ? Mode::Block : Mode::Code;
            continue;
        }
        // 1'000 is a number, not the start of a character.
        const bool is_digit_mark = i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1]));
        switch (mode) {
            case Mode::Code:
                if (now == '/' && (next == '/' || next == '*')) {
                    mode = next == '/' ? Mode::Line : Mode::Block;
                } else if (now == '"') {
                    mode = Mode::String;
                } else if (now == '\'' && !is_digit_mark) {
                    mode = Mode::Char;
                }
                continue;
            case Mode::Block:
                if (now == '*' && next == '/') {
                    text[i + 1] = ' ';
                    mode = Mode::Code;
                }
                break;
            case Mode::String:
            case Mode::Char:
                if (now == '\\' && next != '\n') {
                    text[++i] = ' ';
                } else if (now == (mode == Mode::String ? '"' : '\'')) {
                    mode = Mode::Code;
                }
                break;
            case Mode::Line:
                break;
        }
        text[i] = ' ';
    }
    return text;
}

/// "path:line: text" of each line of the folder's files in which `pattern` is found.
std::vector<std::string> matches(const std::vector<SourceFile>& files, const std::string& pattern,
                                 bool in_code_only) {
    const std::regex wanted(pattern);
    std::vector<std::string> found;
    for (const SourceFile& file : files) {
        int number = 0;
        for (const std::string& line : lines_of(in_code_only ? code_only(file.text) : file.text)) {
            ++number;
            if (std::regex_search(line, wanted)) {
                found.push_back(file.path + ":" + std::to_string(number) + ": " + line);
            }
        }
    }
    return found;
}

std::string joined(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) {
        text += "\n    " + line;
    }
    return text;
}

const std::string kSleep =
    R"(\b(sleep|usleep|nanosleep|clock_nanosleep|sleep_for|sleep_until)\s*\()";
// Where a handler is named: the field of sigaction(2), or signal(2)'s second argument.
const std::string kHandler = R"(\bsa_(handler|sigaction)\s*=|\b(bsd_)?signal\s*\(\s*SIG\w+\s*,)";

std::vector<SourceFile> without(std::vector<SourceFile> files, const std::string& prefix) {
    std::erase_if(files, [&](const SourceFile& file) { return file.path.starts_with(prefix); });
    return files;
}

TEST(SourceRulesTest, NobodySleepsButWorkersOfTestsThatMustBeSlow) {
    for (const char* folder : {"shm", "config", "supervisor", "tests"}) {
        const auto files = without(read_sources(folder, kCode), "tests/workers/");
        EXPECT_TRUE(matches(files, kSleep, true).empty()) << joined(matches(files, kSleep, true));
    }
}

TEST(SourceRulesTest, TheSupervisorHasNoSignalHandlers) {
    // A signal is an event of the loop. The one thing a process sets is SIG_IGN or SIG_DFL.
    // But for the way back of an upgrade: a program that has crashed has no loop any more.
    const auto files = without(read_sources("supervisor", kCode), "supervisor/posix/execution.cpp");
    for (const std::string& hit : matches(files, kHandler, true)) {
        EXPECT_NE(hit.find("SIG_"), std::string::npos) << hit;
    }
}

TEST(SourceRulesTest, NothingIsLeftForLater) {
    // In two pieces, so that this file is not what it looks for.
    const std::string words = std::string(R"(\b(TO)") + "DO|FIX" + "ME|XX" + "X|HA" + R"(CK)\b)";
    for (const char* folder : {"shm", "config", "supervisor", "worker", "tests", "systemd"}) {
        const auto hits = matches(read_sources(folder, kText), words, false);
        EXPECT_TRUE(hits.empty()) << joined(hits);
    }
}

TEST(SourceRulesTest, TheRulesFindWhatTheyForbid) {
    const auto finds = [](const std::string& code, const std::string& pattern) {
        return !matches({{"x.cpp", code}}, pattern, true).empty();
    };
    EXPECT_TRUE(finds("std::this_thread::sleep_for(1ms);", kSleep));
    EXPECT_TRUE(finds("::usleep (10);", kSleep));
    EXPECT_FALSE(finds("// Never sleep(1) here.", kSleep));
    EXPECT_FALSE(finds("run(\"sleep(1)\");  /* sleep(2) */", kSleep));
    EXPECT_TRUE(finds("auto n = 1'000; sleep(1); auto m = 2'000;", kSleep));
    EXPECT_TRUE(finds("auto c = '\\''; sleep(1);", kSleep));
    EXPECT_TRUE(finds("action.sa_handler = on_term;", kHandler));
    EXPECT_TRUE(finds("std::signal(SIGTERM, on_term);", kHandler));
    EXPECT_FALSE(finds("child.signal(SIGTERM);", kHandler));
}

}  // namespace
}  // namespace topsman
