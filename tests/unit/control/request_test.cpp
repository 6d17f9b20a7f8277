#include "supervisor/control/request.hpp"

#include <gtest/gtest.h>

namespace topsman::control {
namespace {

TEST(RequestTest, AnEmptyBodyIsAnEmptyObject) {
    for (const char* body : {"", " \r\n", "{}"}) {
        const auto request = parse_change("/v1/reload", body);
        ASSERT_TRUE(request) << body;
        EXPECT_EQ(request->verb, Request::Verb::Reload);
        EXPECT_TRUE(request->wait);
    }
}

TEST(RequestTest, TakesWhatEachChangeNeeds) {
    const auto scale = parse_change("/v1/scale", R"({"pool": "web", "workers": 8, "wait": false})");
    ASSERT_TRUE(scale);
    EXPECT_EQ(scale->pool, "web");
    EXPECT_EQ(scale->workers, 8U);
    EXPECT_FALSE(scale->wait);

    const auto restart = parse_change("/v1/restart", R"({"pool": "web", "slot": 0})");
    ASSERT_TRUE(restart);
    EXPECT_EQ(restart->slot, 0U);
    const auto drain = parse_change("/v1/drain", R"({"pool": "web", "slot": 2})");
    ASSERT_TRUE(drain);
    EXPECT_EQ(drain->verb, Request::Verb::Drain);
    EXPECT_EQ(drain->slot, 2U);

    EXPECT_EQ(parse_change("/v1/upgrade", "")->verb, Request::Verb::Upgrade);
    EXPECT_FALSE(parse_change("/v1/upgrade", R"({"pool": "web"})"));

    EXPECT_EQ(parse_change("/v1/stop", "")->mode, "graceful");
    EXPECT_EQ(parse_change("/v1/stop", R"({"mode": "now"})")->mode, "now");
    const auto queue =
        parse_change("/v1/queue", R"({"queue": "jobs", "action": "drop", "job": "4294967297"})");
    EXPECT_EQ(queue->queue, "jobs");
    EXPECT_EQ(queue->mode, "drop");
    EXPECT_EQ(queue->job, 4'294'967'297U);
    EXPECT_FALSE(parse_change("/v1/queue", R"({"queue": "jobs"})"));
    EXPECT_FALSE(parse_change("/v1/queue", R"({"queue": "jobs", "action": "eat"})"));
    EXPECT_FALSE(parse_change("/v1/queue", R"({"queue": "jobs", "action": "drop", "job": 7})"));
    EXPECT_FALSE(parse_change("/v1/scale", R"({"pool": "a", "workers": 1, "queue": "jobs"})"));
    EXPECT_EQ(parse_change("/v1/reset-failed", R"({"pool": "web"})")->pool, "web");
}

TEST(RequestTest, ACounterIsAddedToOrSet) {
    const auto add = parse_change("/v1/counter", R"({"name": "orders", "add": -3})");
    ASSERT_TRUE(add);
    EXPECT_EQ(add->verb, Request::Verb::Counter);
    EXPECT_EQ(add->name, "orders");
    EXPECT_EQ(add->add, -3);
    EXPECT_FALSE(add->set);
    EXPECT_EQ(parse_change("/v1/counter", R"({"name": "orders", "set": 0})")->set, 0);
}

TEST(RequestTest, TheBodyOfASubmitIsTheJobByteForByte) {
    const std::string job("{\0\n\xff", 4);
    const auto submit =
        parse_change("/v1/submit", job, "queue=thumbnails&priority=7&deadline_ms=30000");
    ASSERT_TRUE(submit);
    EXPECT_EQ(submit->verb, Request::Verb::Submit);
    EXPECT_EQ(submit->queue, "thumbnails");
    EXPECT_EQ(submit->item, job);
    EXPECT_EQ(submit->priority, 7U);
    EXPECT_EQ(submit->deadline, std::chrono::seconds(30));
    const auto plain = parse_change("/v1/submit", "", "queue=q");
    ASSERT_TRUE(plain);
    EXPECT_EQ(plain->item, "");
    EXPECT_FALSE(plain->deadline);
    EXPECT_FALSE(plain->key);
    const auto once = parse_change("/v1/submit", "", "queue=q&key=a%26%00%fFz");
    ASSERT_TRUE(once);
    EXPECT_EQ(once->key, std::string("a&\0\xffz", 5));
    EXPECT_FALSE(once->wants_result);
    EXPECT_TRUE(parse_change("/v1/submit", "", "queue=q&wait=result")->wants_result);
    // Added to any clock it stays a time to come.
    const auto never = parse_change("/v1/submit", "", "queue=q&deadline_ms=18446744073709551615");
    EXPECT_EQ(never->deadline, std::chrono::hours(24 * 365));
}

TEST(RequestTest, AMessageIsTheBodyOfASend) {
    const auto send = parse_change("/v1/send", std::string("a\0b", 3), "channel=news&to=2");
    ASSERT_TRUE(send);
    EXPECT_EQ(send->verb, Request::Verb::Send);
    EXPECT_EQ(send->channel, "news");
    EXPECT_EQ(send->item, std::string("a\0b", 3));
    EXPECT_EQ(send->slot, 2U);
    EXPECT_FALSE(send->to_all);
    const auto all = parse_change("/v1/send", "", "channel=news&to=all");
    ASSERT_TRUE(all);
    EXPECT_TRUE(all->to_all);
    EXPECT_FALSE(all->slot);
    for (const char* query : {"channel=news", "to=any&channel=news"}) {
        const auto any = parse_change("/v1/send", "", query);
        ASSERT_TRUE(any);
        EXPECT_FALSE(any->to_all || any->slot) << query;
    }
}

TEST(RequestTest, WhatIsWrongWithASendIsSaidInASentence) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "needs a channel"},
        {"to=1", "needs a channel"},
        {"channel=", "channel's name"},
        {"channel=n&to=", "to must be any, all or a slot's number"},
        {"channel=n&to=-1", "to must be"},
        {"channel=n&to=4294967296", "to must be"},
        {"queue=q", "unknown parameter \"queue\""},
    };
    for (const auto& [query, says] : cases) {
        const auto request = parse_change("/v1/send", "message", query);
        ASSERT_FALSE(request) << query;
        EXPECT_NE(request.error().message.find(says), std::string::npos)
            << query << ": " << request.error().message;
    }
}

TEST(RequestTest, WhatIsWrongWithASubmitIsSaidInASentence) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "needs a queue"},
        {"priority=1", "needs a queue"},
        {"queue=", "queue's name"},
        {"queue=q&wait=no", "wait must be result"},
        {"queue=q&wait=result&key=a", "a job with a key has no result"},
        {"queue=q&priority=", "priority must be"},
        {"queue=q&priority=-1", "priority must be"},
        {"queue=q&priority=4294967296", "priority must be"},
        {"queue=q&deadline_ms=1.5", "deadline_ms must be"},
        {"queue=q&key=", "key must be 1 to 64 bytes"},
        {"queue=q&key=%4", "key must be"},
        {"queue=q&key=%4x", "key must be"},
        {"queue=q&key=%", "key must be"},
        {"queue=q&deadline=30s", "unknown parameter \"deadline\""},
        {"queue=q&&x", "unknown parameter \"\""},
    };
    for (const auto& [query, says] : cases) {
        const auto request = parse_change("/v1/submit", "job", query);
        ASSERT_FALSE(request) << query;
        EXPECT_NE(request.error().message.find(says), std::string::npos)
            << query << ": " << request.error().message;
    }
    const std::string endless(100, 'q');
    EXPECT_FALSE(parse_change("/v1/submit", "", "queue=" + endless));
    EXPECT_FALSE(parse_change("/v1/submit", "", "queue=q&key=" + endless));
}

TEST(RequestTest, WhatIsWrongIsSaidInASentence) {
    struct Case {
        const char* path;
        const char* body;
        const char* says;
    };

    const Case cases[] = {
        {"/v1/reload", "{", "not JSON"},
        {"/v1/reload", "[]", "object"},
        {"/v1/reload", R"({"wait": 1})", "true or false"},
        {"/v1/reload", R"({"pool": "web"})", "unknown key \"pool\""},
        {"/v1/scale", "{}", "needs a pool and a number"},
        {"/v1/scale", R"({"pool": "web"})", "needs a pool and a number"},
        {"/v1/scale", R"({"pool": "web", "workers": 0})", "from 1"},
        {"/v1/scale", R"({"pool": "web", "workers": -1})", "from 1"},
        {"/v1/scale", R"({"pool": "web", "workers": 4294967296})", "from 1"},
        {"/v1/scale", R"({"pool": "web", "workers": 1.5})", "from 1"},
        {"/v1/scale", R"({"pool": 1, "workers": 1})", "pool's name"},
        {"/v1/scale", R"({"pool": "", "workers": 1})", "pool's name"},
        {"/v1/restart", R"({"slot": 1})", "slot needs a pool"},
        {"/v1/drain", R"({"pool": "web"})", "drain needs a pool and a slot"},
        {"/v1/drain", R"({"slot": 1})", "drain needs a pool and a slot"},
        {"/v1/restart", R"({"pool": "web", "slot": "1"})", "number"},
        {"/v1/stop", R"({"mode": "slow"})", "graceful"},
        {"/v1/stop", R"({"mode": 1})", "graceful"},
        {"/v1/counter", "{}", "needs a name and one of add and set"},
        {"/v1/counter", R"({"name": "orders"})", "one of add and set"},
        {"/v1/counter", R"({"name": "orders", "add": 1, "set": 1})", "one of add and set"},
        {"/v1/counter", R"({"name": 1, "add": 1})", "name of a counter or a gauge"},
        {"/v1/counter", R"({"name": "orders", "add": 1.5})", "add must be a whole number"},
        {"/v1/counter", R"({"name": "o", "set": 9223372036854775808})", "set must be a whole"},
        {"/v1/scale", R"({"pool": "a", "workers": 1, "add": 1})", "unknown key \"add\""},
    };
    for (const Case& c : cases) {
        const auto request = parse_change(c.path, c.body);
        ASSERT_FALSE(request) << c.path << c.body;
        EXPECT_NE(request.error().message.find(c.says), std::string::npos)
            << c.body << ": " << request.error().message;
    }
}

TEST(RequestTest, DeepNestingIsRefusedAndDoesNotRecurse) {
    const std::string deep(60'000, '[');
    EXPECT_FALSE(parse_change("/v1/reload", deep));
}

TEST(RequestTest, AnUnknownPathIsNoChange) {
    for (const char* path : {"", "/", "/v1/status", "/v1/reload/", "/v1/RELOAD", "/v1/reload?x"}) {
        const auto request = parse_change(path, "");
        ASSERT_FALSE(request) << path;
        EXPECT_EQ(request.error().code, std::errc::no_such_file_or_directory);
    }
}

TEST(RequestTest, SinceIsANumberOrNothing) {
    EXPECT_EQ(parse_since("").value(), 0U);
    EXPECT_EQ(parse_since("since=17").value(), 17U);
    for (const char* wrong :
         {"since=", "since=x", "since=-1", "since=1x", "until=3", "since=18446744073709551616"}) {
        EXPECT_FALSE(parse_since(wrong)) << wrong;
    }
}

TEST(RequestTest, AnAnswerSurvivesTheWay) {
    const Response sent{
        .result = "failed", .reason = "pool \"web\": no\nway", .lines = {"web: 4 -> 8", "ü"}};
    const auto got = parse_response(to_json(sent));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->result, sent.result);
    EXPECT_EQ(got->reason, sent.reason);
    EXPECT_EQ(got->lines, sent.lines);
}

TEST(RequestTest, DetailsSurviveTheWay) {
    for (const char* key : {"plan", "counter", "job"}) {
        Response sent{.result = "done", .reason = {}, .lines = {}};
        sent.details = R"({"value":17})";
        sent.details_key = key;
        const auto got = parse_response(to_json(sent));
        ASSERT_TRUE(got);
        EXPECT_EQ(got->details, sent.details);
        EXPECT_EQ(got->details_key, key);
    }
}

TEST(RequestTest, BytesInDetailsSurviveTheWay) {
    for (const std::string& bytes :
         {std::string(), std::string("cat"), std::string("\"\\\n\0\x1f", 5),
          std::string("\xc3\xa4?"), std::string("\xff\x00\x80", 3), std::string("\xc3")}) {
        Response sent{.result = "done", .reason = {}, .lines = {}};
        JsonWriter w;
        w.begin_object();
        write_bytes(w, "answer", bytes);
        sent.details = w.end_object().take();
        sent.details_key = "job";
        const auto got = parse_response(to_json(sent));
        ASSERT_TRUE(got);
        EXPECT_EQ(read_bytes(*got, "answer"), bytes);
        EXPECT_FALSE(read_bytes(*got, "other"));
    }
    EXPECT_FALSE(read_bytes({}, "answer"));
}

TEST(RequestTest, WhatIsNoAnswerIsRefused) {
    for (const char* wrong : {"", "{}", "[]", "no", R"({"result": 1})"}) {
        EXPECT_FALSE(parse_response(wrong)) << wrong;
    }
}

}  // namespace
}  // namespace topsman::control
