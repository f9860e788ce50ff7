// The API and its event stream; docs/monitor-api.md.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function call(method, path, body) {
  const options = { method, headers: {}, credentials: "same-origin" };
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  const response = await fetch(path, options);
  if (!response.ok) {
    const said = await response.json().catch(() => null);
    throw new ApiError(response.status, said?.error?.message ?? `answer ${response.status}`);
  }
  return response;
}

export const get = async (path) => (await call("GET", `/api/v1/${path}`)).json();
export const getText = async (path) => (await call("GET", `/api/v1/${path}`)).text();
export const post = async (path, body) => {
  const response = await call("POST", `/api/v1/${path}`, body);
  return response.status === 204 ? null : response.json();
};
export const login = (token) => post("session", { token });
export const logout = () => call("DELETE", "/api/v1/session");

// Listens for good: handlers[event](data, id); state("live" | "lost", error). The browser
// comes back by itself while the server is away; what ends a stream for good (a token that
// is refused, too many listeners) is asked about and tried again.
export function listen(handlers, state) {
  let source, wait = 2000, timer;
  const open = () => {
    source = new EventSource("/api/v1/stream");
    source.onopen = () => {
      wait = 2000;
      state("live");
    };
    source.onerror = async () => {
      state("lost");
      if (source.readyState !== EventSource.CLOSED) return;
      try {
        await get("about");
      } catch (error) {
        if (error.status === 401) return state("lost", error);
      }
      timer = setTimeout(open, wait);
      wait = Math.min(wait * 2, 30000);
    };
    for (const [name, fn] of Object.entries(handlers))
      source.addEventListener(name, (e) => fn(JSON.parse(e.data), e.lastEventId));
  };
  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
