#pragma once

#include <string>
#include <string_view>

namespace topsman::http {

/// What a request is answered with, before it is text.
struct Answer {
    unsigned status = 200;
    std::string body;
    std::string_view type = "text/plain; charset=utf-8";
    std::string_view more_fields = {};  ///< "Allow: GET\r\n"
};

/// How the text of an answer depends on the request and the connection.
struct Manner {
    bool keep_alive = true;
    bool without_body = false;  ///< HEAD
};

/// Appends the answer as HTTP/1.1.
void write_answer(std::string& to, const Answer& answer, Manner manner);

}  // namespace topsman::http
