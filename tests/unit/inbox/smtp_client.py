"""A plain SMTP client that sends exactly the bytes a test gives it."""

import asyncio
from email.message import EmailMessage

PATIENCE_SECONDS = 20


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, port: int, *, greet: bool = True) -> "Client":
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        await client.reply()
        if greet:
            await client.ask("EHLO test.example")
        return client

    async def ask(self, command: str) -> str:
        await self.write(command.encode() + b"\r\n")
        return await self.reply()

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def reply(self) -> str:
        """One whole reply, its lines joined; empty when the server has hung up."""
        lines: list[str] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            while line := (await self._reader.readline()).decode():
                lines.append(line.rstrip())
                if line[3:4] != "-":
                    break
        return "\n".join(lines)

    async def begin(self, sender: str = "shop@example.com", to: str = "zoe@example.com") -> None:
        """As far as the 354."""
        await self.write(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode())
        for code in ("250", "250", "354"):
            reply = await self.reply()
            assert reply.startswith(code), reply

    async def send(self, content: bytes, *, to: str = "zoe@example.com") -> str:
        await self.begin(to=to)
        await self.write(content + b"\r\n.\r\n")
        return await self.reply()

    def half_close(self) -> None:
        self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    def abort(self) -> None:
        self._writer.transport.abort()


def mail(
    subject: str = "Hello",
    *,
    to: str = "zoe@example.com",
    message_id: str = "",
    text: str = "Good morning.",
    html: str = "",
) -> bytes:
    """A well-formed mail, without the final dot."""
    message = EmailMessage()
    message["From"] = "The Shop <shop@example.com>"
    message["To"] = to
    message["Subject"] = subject
    if message_id:
        message["Message-ID"] = message_id
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message.as_bytes().replace(b"\n", b"\r\n").rstrip(b"\r\n")
