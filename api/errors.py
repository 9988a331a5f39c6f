"""The error tree of `api`: every message says what was expected, what came, where, and what to do.

Routes let these rise; `api.problems` turns them into RFC 9457 problem details by `status`.
"""


class ApiError(Exception):
    """Base of all errors that `api` raises on purpose; the command line prints it in one line and exits 2."""

    status = 400
    slug = "refused"
    title = "请求被拒绝"

    def __init__(self, message: str, **extra: object) -> None:
        super().__init__(message)
        self.extra = extra


class NotFoundError(ApiError):
    """No such thing, or it is outside the caller's rows."""

    status = 404
    slug = "not-found"
    title = "没有找到"


class ConflictError(ApiError):
    """Another one was first, or the thing is no longer in the state that the request supposes."""

    status = 409
    slug = "conflict"
    title = "状态冲突"


class GoneError(ApiError):
    """The cursor is older than what is kept."""

    status = 410
    slug = "gone"
    title = "游标过旧"


class InvalidError(ApiError):
    """Well-formed, and yet not acceptable."""

    status = 422
    slug = "invalid"
    title = "内容不合要求"


class UnauthorizedError(ApiError):
    """No token, or one that is not good."""

    status = 401
    slug = "unauthorized"
    title = "需要登录"


class ForbiddenError(ApiError):
    """A good token whose role, scope or district does not reach."""

    status = 403
    slug = "forbidden"
    title = "没有权限"


class TooLargeError(ApiError):
    """A body over the limit."""

    status = 413
    slug = "too-large"
    title = "内容过大"


class UnsupportedMediaError(ApiError):
    """Bytes that are not of an accepted kind."""

    status = 415
    slug = "unsupported-media"
    title = "文件类型不支持"


class PreconditionError(ApiError):
    """If-Match names another version."""

    status = 412
    slug = "precondition"
    title = "版本已变化"


class TooManyError(ApiError):
    """Over the rate limit."""

    status = 429
    slug = "too-many-requests"
    title = "请求过于频繁"


class UnavailableError(ApiError):
    """An engine beneath does not answer, or has no room; try again."""

    status = 503
    slug = "unavailable"
    title = "暂时不可用"
