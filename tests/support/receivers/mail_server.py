"""A mail server. It writes its port and each accepted mail as a line of JSON to stdout, reads the replies to give as lines of JSON from
stdin, and ends when stdin is closed."""

import asyncio
import email
import email.policy
import json
import logging
import ssl
import sys
import threading
import warnings

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

# clients that do not trust the certificate are part of the tests
logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")

settings = json.loads(sys.argv[1])
replies = {}


def report(value):
    print(json.dumps(value), flush=True)


async def reply_to(command):
    if replies.get("silent"):
        await asyncio.sleep(3600)
    return replies.get(command)


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        envelope.mail_from = address
        return await reply_to("mail") or "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        envelope.rcpt_tos.append(address)
        return await reply_to("rcpt") or "250 OK"

    async def handle_DATA(self, server, session, envelope):
        refused = await reply_to("data")
        if refused:
            return refused
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
        report({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "hello": session.host_name,
            "is_encrypted": server.transport.get_extra_info("ssl_object") is not None,
            "user": session.auth_data,
            "type": mail.get_content_type(),
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "text": parts.get("text/plain", "").replace("\r\n", "\n"),
            "html": parts.get("text/html", "").replace("\r\n", "\n"),
            "longest_line": max(map(len, envelope.content.split(b"\r\n"))),
        })
        if replies.get("cut_after"):
            server.transport.abort()
        return "250 OK"


def authenticator(server, session, envelope, mechanism, data):
    known = tuple(part.encode() for part in settings["login"])
    if isinstance(data, LoginPassword) and (data.login, data.password) == known:
        return AuthResult(success=True, auth_data=data.login.decode())
    return AuthResult(success=False, handled=False)


def listen_to_stdin(loop):
    for line in sys.stdin:
        asked = json.loads(line)
        if "sync" in asked:
            loop.call_soon_threadsafe(report, asked)
        else:
            replies.clear()
            replies.update(asked)
    loop.call_soon_threadsafe(loop.stop)


async def main():
    context = None
    if settings["certificate"]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(settings["certificate"], settings["key"])
    is_starttls = settings["way"] == "starttls"
    options = {"tls_context": context, "require_starttls": True} if is_starttls else {}
    if settings["login"]:
        # aiosmtpd does not notice TLS that was there from the first byte
        options |= {"authenticator": authenticator, "auth_required": True, "auth_require_tls": is_starttls}
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), hostname="mail.test", enable_SMTPUTF8=False, **options),
        "127.0.0.1", 0, ssl=context if settings["way"] == "tls" else None,
    )
    report({"port": server.sockets[0].getsockname()[1]})


loop = asyncio.new_event_loop()
loop.run_until_complete(main())
threading.Thread(target=listen_to_stdin, args=(loop,), daemon=True).start()
loop.run_forever()
