#include "supervisor/options.hpp"

#include "tests/unit/control/control_test_helper.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace topsman {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class OptionsTest : public ::testing::Test {
  protected:
    int run(std::vector<std::string> words) {
        words.insert(words.begin(), "topsman");
        std::vector<char*> argv;
        argv.reserve(words.size() + 1);
        for (std::string& word : words) {
            argv.push_back(word.data());
        }
        argv.push_back(nullptr);
        ::testing::internal::CaptureStdout();
        ::testing::internal::CaptureStderr();
        const int code = run_command_line(static_cast<int>(words.size()), argv.data(), programs_);
        out_ = ::testing::internal::GetCapturedStdout();
        err_ = ::testing::internal::GetCapturedStderr();
        return code;
    }

    Programs programs_{.run =
                           [this](const RunOptions& options) {
                               run_ = options;
                               return 78;
                           },
                       .check =
                           [this](const std::string& file, bool json) {
                               checked_ = file + (json ? " json" : "");
                               return 1;
                           },
                       .end_leftovers = {},
                       .version = "1.2.3"};
    RunOptions run_;
    std::string checked_;
    std::string out_;
    std::string err_;
};

TEST_F(OptionsTest, RunAndCheckGetTheirFileAndGiveTheirCode) {
    EXPECT_EQ(run({"run", "shop.yaml", "--take-over"}), 78);
    EXPECT_EQ(run_.file, "shop.yaml");
    EXPECT_TRUE(run_.take_over);
    EXPECT_EQ(run({"check", "--json", "shop.yaml"}), 1);
    EXPECT_EQ(checked_, "shop.yaml json");
}

TEST_F(OptionsTest, WithoutAFileTheOneHereIsTakenThenTheSystems) {
    const control::TempDir dir;
    const std::string before = std::filesystem::current_path();
    std::filesystem::current_path(dir.path());
    (void)run({"run"});
    EXPECT_EQ(run_.file, "/etc/topsman/topsman.yaml");
    std::ofstream("topsman.yaml") << "pools: {}";
    (void)run({"run"});
    EXPECT_EQ(run_.file, "topsman.yaml");
    std::filesystem::current_path(before);
}

TEST_F(OptionsTest, VersionIsAnOptionAndACommand) {
    for (const char* word : {"version", "--version", "-V"}) {
        EXPECT_EQ(run({word}), 0);
        EXPECT_EQ(out_, "topsman 1.2.3\n") << word;
    }
    EXPECT_EQ(run({"version", "--json"}), 0);
    EXPECT_EQ(out_, "{\"version\":\"1.2.3\"}\n");
}

TEST_F(OptionsTest, EveryCommandHasHelpWithAnExample) {
    EXPECT_EQ(run({"--help"}), 0);
    const std::string overview = out_;
    for (const char* command :
         {"run", "check", "status", "counters", "locks", "queues", "events", "plan", "reload",
          "scale", "restart", "drain", "stop", "reset-failed", "upgrade", "queue", "version"}) {
        EXPECT_THAT(overview, HasSubstr(std::string("\n  ") + command));
        EXPECT_EQ(run({command, "--help"}), 0) << command;
        EXPECT_THAT(out_, AllOf(HasSubstr(std::string("Usage: topsman ") + command),
                                HasSubstr("Example:\n  topsman "), HasSubstr("--json"),
                                HasSubstr("-h --help")));
        EXPECT_EQ(err_, "");
    }
}

TEST_F(OptionsTest, WhatIsBelowACommandHasHelpOfItsOwn) {
    const std::vector<std::string> all[] = {
        {"counters", "get"}, {"counters", "add"}, {"counters", "set"}, {"queue", "submit"}};
    for (std::vector<std::string> words : all) {
        const std::string path = "topsman " + words[0] + " " + words[1];
        EXPECT_EQ(run({words[0], "--help"}), 0);
        EXPECT_THAT(out_, HasSubstr("\n  " + path + " "));
        words.emplace_back("--help");
        EXPECT_EQ(run(words), 0);
        EXPECT_THAT(out_, AllOf(HasSubstr("Usage: " + path), HasSubstr("Example:\n  " + path),
                                HasSubstr("--json")));
    }
}

TEST_F(OptionsTest, NothingAtAllIsAUsageErrorThatHelps) {
    EXPECT_EQ(run({}), 2);
    EXPECT_THAT(err_, HasSubstr("Usage: topsman COMMAND"));
}

TEST_F(OptionsTest, WhatIsWrongIsOneSentence) {
    struct Case {
        std::vector<std::string> words;
        const char* says;
    };

    const Case cases[] = {
        {{"stauts"}, "did you mean status?"},
        {{"relaod"}, "did you mean reload?"},
        {{"frobnicate"}, "see `topsman --help`"},
        {{"\x1b[2J"}, "there is no command"},
        {{"status", "--wacth"}, "--wacth"},
        {{"scale"}, "POOL"},
        {{"scale", "web=0"}, "web=4"},
        {{"scale", "web"}, "web=4"},
        {{"stop", "--fast", "--now"}, "--now"},
        {{"reload", "--timeout", "soon"}, "soon is not a duration"},
        {{"status", "--interval", "0s"}, "0s is not a duration"},
        {{"status", "-c", "a", "-n", "b"}, "excludes"},
        {{"events", "--since", "x"}, "--since"},
        {{"events", "--until", "worker.raedy"}, "no event worker.raedy; there are config.loaded"},
        {{"events", "--until", "any"}, "worker.exited worker.ready worker.spawned"},
        {{"run", "a", "b"}, "b"},
        {{"--frob"}, "--frob"},
        {{"counters", "ad", "orders"},
         "topsman counters: there is no command ad; did you mean add?"},
        {{"counters", "orders"}, "see `topsman counters --help`"},
        {{"counters", "get"}, "NAME"},
        {{"counters", "add"}, "topsman counters add: NAME"},
        {{"counters", "add", "orders", "many"}, "many is no whole number"},
        {{"counters", "add", "orders", "9223372036854775808"}, "below 2^63"},
        {{"counters", "add", "orders", "1", "2"}, "2"},
        {{"counters", "set", "load"}, "N"},
        {{"queue"}, "say what: topsman queue submit QUEUE"},
        {{"queue", "sumbit", "q"}, "did you mean submit?"},
        {{"queue", "submit"}, "QUEUE"},
        {{"queue", "submit", "a&b", "job"}, "a&b is no queue's name"},
        {{"queue", "submit", "q", std::string(65'537, 'x')}, "more than 64KiB"},
        {{"queue", "submit", "q", "job", "--priority", "-1"}, "--priority"},
        {{"queue", "submit", "q", "job", "--deadline", "soon"}, "soon is not a duration"},
        {{"queue", "submit", "q", "job", "--key", std::string(65, 'x')},
         "a key has 1 to 64 bytes, this one has 65"},
        {{"queue", "submit", "q", "job", "--key", ""}, "a key has 1 to 64 bytes, this one has 0"},
        {{"queue", "submit", "q", "job", "--key", "k", "--wait"}, "a job with a key has no result"},
        {{"channel"}, "say what: topsman channel send CHANNEL"},
        {{"channel", "sned", "c"}, "did you mean send?"},
        {{"channel", "send"}, "CHANNEL"},
        {{"channel", "send", "a&b", "text"}, "a&b is no channel's name"},
        {{"channel", "send", "c", std::string(65'537, 'x')}, "more than 64KiB"},
        {{"channel", "send", "c", "text", "--slot", "web/2"}, "--slot"},
        {{"channel", "send", "c", "text", "--slot", "1", "--all"}, "excludes"},
    };
    for (const Case& c : cases) {
        EXPECT_EQ(run(c.words), 2) << c.says;
        EXPECT_THAT(err_, AllOf(StartsWith("topsman"), HasSubstr(c.says)));
        EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1) << err_;
        EXPECT_EQ(err_.find('\x1b'), std::string::npos);
        EXPECT_EQ(out_, "");
    }
}

TEST_F(OptionsTest, CommandsReachTheClusterThatIsNamed) {
    control::HandMadeCluster cluster;
    EXPECT_EQ(run({"status", "-n", cluster.name()}), 0);
    EXPECT_THAT(out_, StartsWith(cluster.name()));
    EXPECT_EQ(run({"status", "-c", cluster.file(), "--json"}), 0);
    EXPECT_THAT(out_, StartsWith("{\"cluster\":\"" + cluster.name()));
    EXPECT_EQ(run({"counters", "--json", "-n", cluster.name()}), 0);
    EXPECT_EQ(out_, "{}\n");
    const auto row = cluster.segment().metric_names().find_or_add("orders", shm::NameKind::Counter,
                                                                  0, {}, [](std::uint32_t) {});
    cluster.segment().metrics().cell(3, row.value()).store(17);
    EXPECT_EQ(run({"counters", "get", "orders", "-n", cluster.name()}), 0);
    EXPECT_EQ(out_, "17\n");
    EXPECT_EQ(run({"counters", "-n", cluster.name(), "get", "orders", "--json"}), 0);
    EXPECT_EQ(out_, "{\"name\":\"orders\",\"value\":17}\n");
    EXPECT_EQ(run({"counters", "get", "order", "-n", cluster.name()}), 1);
    EXPECT_THAT(err_, HasSubstr("there is no counter or gauge order"));
    EXPECT_EQ(run({"events", "-n", cluster.name(), "--until", "worker.ready", "--timeout", "10ms"}),
              5);
    EXPECT_EQ(run({"status", "-n", "no-such-cluster"}), 3);
}

}  // namespace
}  // namespace topsman
