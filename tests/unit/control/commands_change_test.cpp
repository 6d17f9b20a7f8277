#include "supervisor/control/commands.hpp"
#include "supervisor/runtime_dir.hpp"
#include "tests/unit/control/control_test_helper.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace topsman::control {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class CommandsChangeTest : public ::testing::Test {
  protected:
    void SetUp() override {
        auto made = ControlServer::listen(io_, {.path = cluster_.socket(), .group = {}},
                                          {.change =
                                               [this](Request request, const Responder& responder) {
                                                   requests_.push_back(std::move(request));
                                                   responder(answer_);
                                               },
                                           .status_json = {},
                                           .events_json = {}});
        ASSERT_TRUE(made) << made.error().message;
        server_ = std::move(*made);
    }

    int run(const std::function<int(const Output&)>& command) {
        int code = -1;
        printed_ = std::make_unique<Printed>();
        run_beside(io_, [&] { code = command(printed_->plain()); });
        return code;
    }

    HandMadeCluster cluster_;
    boost::asio::io_context io_;
    std::unique_ptr<ControlServer> server_;
    std::vector<Request> requests_;
    Response answer_{.result = "done", .reason = {}, .lines = {}};
    std::unique_ptr<Printed> printed_;
    Target target_ = cluster_.target();
    const EndLeftovers nobody_is_left_ = [](const auto&, const auto&, const auto&) {
        ADD_FAILURE() << "the master lives";
        return Result<void>{};
    };
    ChangeOptions options_{.no_wait = false, .timeout = std::chrono::seconds(30)};
};

TEST_F(CommandsChangeTest, EachAsksForWhatItSays) {
    EXPECT_EQ(run([&](const auto& o) { return reload(target_, o, options_); }), 0);
    EXPECT_EQ(run([&](const auto& o) { return restart(target_, o, options_, "web/2"); }), 0);
    EXPECT_EQ(run([&](const auto& o) { return restart(target_, o, options_, {}); }), 0);
    EXPECT_EQ(run([&](const auto& o) { return scale(target_, o, options_, "web=8"); }), 0);
    EXPECT_EQ(run([&](const auto& o) { return reset_failed(target_, o, options_, "web"); }), 0);
    options_.no_wait = true;
    EXPECT_EQ(
        run([&](const auto& o) { return stop(target_, o, options_, "fast", nobody_is_left_); }), 0);
    ASSERT_EQ(requests_.size(), 6U);
    EXPECT_EQ(requests_[0].verb, Request::Verb::Reload);
    EXPECT_TRUE(requests_[0].wait);
    EXPECT_EQ(requests_[1].pool, "web");
    EXPECT_EQ(requests_[1].slot, 2U);
    EXPECT_FALSE(requests_[2].pool);
    EXPECT_EQ(requests_[3].workers, 8U);
    EXPECT_EQ(requests_[4].verb, Request::Verb::ResetFailed);
    EXPECT_EQ(requests_[5].mode, "fast");
    EXPECT_FALSE(requests_[5].wait);
}

TEST_F(CommandsChangeTest, ScriptsWaitForResults) {
    const std::string result("\xff\0\n", 3);
    const SubmitOptions waiting{.priority = 0, .deadline = {}, .key = {}, .wait = true};
    answer_.details = R"({"queue":"q","job":"17","answer_hex":"ff000a"})";
    answer_.details_key = "job";
    EXPECT_EQ(run([&](const auto& o) { return submit(target_, o, options_, "q", "job", waiting); }),
              0);
    EXPECT_TRUE(requests_.back().wants_result);
    EXPECT_EQ(printed_->out.str(), result) << "byte for byte";
    answer_ = {.result = "failed", .reason = "it is a dead letter", .lines = {}};
    EXPECT_EQ(run([&](const auto& o) { return submit(target_, o, options_, "q", "job", waiting); }),
              1);
    EXPECT_EQ(printed_->out.str(), "");
}

TEST_F(CommandsChangeTest, ScriptsCountAndSubmit) {
    answer_.reason = "17";
    EXPECT_EQ(run([&](const auto& o) {
                  return change_counter(target_, o, options_, "orders", "add", "+2");
              }),
              0);
    EXPECT_EQ(printed_->out.str(), "17\n");
    EXPECT_EQ(requests_.back().name, "orders");
    EXPECT_EQ(requests_.back().add, 2);
    EXPECT_EQ(run([&](const auto& o) {
                  return change_counter(target_, o, options_, "load", "set", "-5");
              }),
              0);
    EXPECT_EQ(requests_.back().set, -5);
    const std::string job("a\0\r\n", 4);
    EXPECT_EQ(run([&](const auto& o) {
                  return submit(target_, o, options_, "thumbnails", job,
                                {.priority = 3,
                                 .deadline = std::chrono::seconds(2),
                                 .key = std::string("a\0&%\xe4", 5)});
              }),
              0);
    EXPECT_EQ(printed_->out.str(), "17\n");
    EXPECT_EQ(requests_.back().verb, Request::Verb::Submit);
    EXPECT_EQ(requests_.back().queue, "thumbnails");
    EXPECT_EQ(requests_.back().item, job);
    EXPECT_EQ(requests_.back().priority, 3U);
    EXPECT_EQ(requests_.back().key, std::string("a\0&%\xe4", 5));
    EXPECT_EQ(requests_.back().deadline, std::chrono::seconds(2));
    const std::string longest(shm::kMaxItemBytes, 'x');
    EXPECT_EQ(run([&](const auto& o) { return submit(target_, o, options_, "q", longest, {}); }),
              0);
    EXPECT_EQ(requests_.back().item, longest);
    EXPECT_EQ(
        run([&](const auto& o) { return send(target_, o, options_, "news", job, {.slot = 2}); }),
        0);
    EXPECT_EQ(requests_.back().verb, Request::Verb::Send);
    EXPECT_EQ(requests_.back().channel, "news");
    EXPECT_EQ(requests_.back().item, job);
    EXPECT_EQ(requests_.back().slot, 2U);
    EXPECT_EQ(run([&](const auto& o) {
                  return send(target_, o, options_, "n", "x", {.slot = {}, .to_all = true});
              }),
              0);
    EXPECT_TRUE(requests_.back().to_all);
}

TEST_F(CommandsChangeTest, TheResultIsTheExitCode) {
    const std::pair<const char*, int> results[] = {
        {"done", 0}, {"failed", 1}, {"rolled_back", 4}, {"timed_out", 5}, {"odd", 1}};
    for (const auto& [result, code] : results) {
        answer_.result = result;
        EXPECT_EQ(run([&](const auto& o) { return reload(target_, o, options_); }), code) << result;
    }
}

TEST_F(CommandsChangeTest, LinesAreShownAndTheReasonOfAFailureIsAnError) {
    answer_ = {.result = "failed", .reason = "web/0: exit code 1\x1b[2J", .lines = {"web: 4 -> 8"}};
    EXPECT_EQ(run([&](const auto& o) { return reload(target_, o, options_); }), 1);
    EXPECT_EQ(printed_->out.str(), "web: 4 -> 8\n");
    EXPECT_EQ(printed_->err.str(),
              "topsman: cluster " + cluster_.name() + ": reload failed: web/0: exit code 1 [2J\n");
}

TEST_F(CommandsChangeTest, APlanThatWouldChangeSomethingHasACodeOfItsOwn) {
    answer_ = {.result = "changes", .reason = {}, .lines = {"web: workers 4 -> 8"}};
    answer_.details = R"({"pools":[{"started":4}]})";
    EXPECT_EQ(run([&](const auto& o) { return plan(target_, o, options_); }), 6);
    EXPECT_EQ(requests_.back().verb, Request::Verb::Plan);
    EXPECT_EQ(printed_->out.str(), "web: workers 4 -> 8\n");
    EXPECT_EQ(printed_->err.str(), "");
    Printed printed;
    run_beside(io_, [&] { EXPECT_EQ(plan(target_, printed.json(), options_), 6); });
    EXPECT_EQ(printed.out.str(),
              R"({"result":"changes","reason":"","lines":["web: workers 4 -> 8"],)"
              R"("plan":{"pools":[{"started":4}]}})"
              "\n");
}

TEST_F(CommandsChangeTest, JsonIsTheAnswerItself) {
    answer_ = {.result = "done", .reason = {}, .lines = {"web: 4 -> 8"}};
    Printed printed;
    run_beside(io_, [&] { EXPECT_EQ(reload(target_, printed.json(), options_), 0); });
    EXPECT_EQ(printed.out.str(), R"({"result":"done","reason":"","lines":["web: 4 -> 8"]})"
                                 "\n");
}

TEST_F(CommandsChangeTest, WrongWordsAreUsageErrors) {
    Printed printed;
    for (const char* wrong : {"web", "web=", "=4", "web=0", "web=x", "web=-1", "web=99999999999"}) {
        EXPECT_EQ(scale(target_, printed.plain(), options_, wrong), 2) << wrong;
    }
    EXPECT_EQ(restart(target_, printed.plain(), options_, "web/x"), 2);
    EXPECT_EQ(drain(target_, printed.plain(), options_, "web"), 2);
    EXPECT_EQ(drain(target_, printed.plain(), options_, "/2"), 2);
    EXPECT_THAT(printed.err.str(), AllOf(HasSubstr("web=4"), HasSubstr("web/2")));
    EXPECT_TRUE(requests_.empty());
}

TEST_F(CommandsChangeTest, ADeadMasterIsNamedWithWhatToDo) {
    server_.reset();
    cluster_.set_master(1, 1);
    Printed printed;
    EXPECT_EQ(reload(target_, printed.plain(), options_), 3);
    EXPECT_THAT(printed.err.str(),
                AllOf(HasSubstr("cluster " + cluster_.name()), HasSubstr("pid 1 is gone"),
                      HasSubstr("topsman run " + cluster_.file())));
}

TEST_F(CommandsChangeTest, ALivingMasterWithoutASocketIsNotRunningYet) {
    server_.reset();
    Printed printed;
    EXPECT_EQ(reload(target_, printed.plain(), options_), 3);
    EXPECT_THAT(printed.err.str(), HasSubstr("starting or stopping"));
}

TEST_F(CommandsChangeTest, AHungMasterIsATimeOut) {
    // Nobody runs the loop.
    options_.timeout = std::chrono::milliseconds(20);
    Printed printed;
    EXPECT_EQ(reload(target_, printed.plain(), options_), 5);
    EXPECT_THAT(printed.err.str(), HasSubstr("topsman status -n " + cluster_.name()));
}

TEST_F(CommandsChangeTest, StopWaitsForTheMasterItself) {
    options_.timeout = std::chrono::milliseconds(200);
    EXPECT_EQ(
        run([&](const auto& o) { return stop(target_, o, options_, "graceful", nobody_is_left_); }),
        5);
    EXPECT_THAT(printed_->err.str(), HasSubstr("has not ended in time")) << "this test lives on";
}

TEST_F(CommandsChangeTest, StopWithoutAMasterEndsWhatItHasLeft) {
    cluster_.set_master(1, 1);
    std::string asked;
    const EndLeftovers end = [&](const ClusterRecord& record, const std::string& mode,
                                 const Say& say) {
        asked = record.cluster + " " + mode;
        say("web/0 (pid 7): gone");
        return Result<void>{};
    };
    Printed printed;
    EXPECT_EQ(stop(target_, printed.plain(), options_, "fast", end), 0);
    EXPECT_EQ(asked, cluster_.name() + " fast");
    EXPECT_THAT(printed.out.str(),
                AllOf(HasSubstr("web/0 (pid 7): gone"), HasSubstr("its workers are ended")));
    EXPECT_TRUE(requests_.empty());
}

TEST_F(CommandsChangeTest, StopWithoutAMasterSaysWhyItCannot) {
    cluster_.set_master(1, 1);
    const EndLeftovers fail = [](const auto&, const auto&, const auto&) {
        return Result<void>(plain_error("web/0 (pid 7) does not end"));
    };
    Printed printed;
    EXPECT_EQ(stop(target_, printed.plain(), options_, "graceful", fail), 1);
    EXPECT_THAT(printed.err.str(), HasSubstr("web/0 (pid 7) does not end"));
}

TEST_F(CommandsChangeTest, NoClusterIsNotRunning) {
    Printed printed;
    const Target nobody{.name = "no-such-cluster", .file = {}};
    EXPECT_EQ(reload(nobody, printed.plain(), options_), 3);
    EXPECT_THAT(printed.err.str(), HasSubstr("no-such-cluster"));
}

}  // namespace
}  // namespace topsman::control
