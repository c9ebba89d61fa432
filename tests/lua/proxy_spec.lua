-- Which proxy is taken. The table is what Go's golang.org/x/net/http/httpproxy answers, which kubectl uses.
local proxy = require "konductor.kube.proxy"

local CASES = {
  { "proxy", "https://k.example:6443", "" },
  { "direct", "https://k.example:6443", "*" },
  { "direct", "https://k.example:6443", "k.example" },
  { "direct", "https://k.example:6443", "K.EXAMPLE" },
  { "direct", "https://K.Example", "k.example" },
  { "direct", "https://k.example:6443", ".example" },
  { "direct", "https://k.example:6443", "example" },
  { "direct", "https://k.example:6443", "*.example" },
  { "proxy", "https://example:6443", ".example" },
  { "proxy", "https://example:6443", "*.example" },
  { "direct", "https://a.b.example", "b.example" },
  { "proxy", "https://ab.example", "b.example" },
  { "direct", "https://k.example:6443", "k.example:6443" },
  { "proxy", "https://k.example:6443", "k.example:443" },
  { "direct", "https://k.example", "k.example:443" },
  { "direct", "http://k.example", "k.example:80" },
  { "direct", "https://k.example:6443", ".example:6443" },
  { "direct", "https://k.example:6443", " foo , k.example ,bar" },
  { "proxy", "https://k.example:6443", ",," },
  { "proxy", "https://k.example.", "k.example" },
  { "direct", "https://10.0.0.1", "10.0.0.1" },
  { "direct", "https://10.0.0.1", "10.0.0.0/8" },
  { "proxy", "https://11.0.0.1", "10.0.0.0/8" },
  { "proxy", "https://10.0.0.1", "10.0.0.0/33" },
  { "direct", "https://10.0.0.1:443", "10.0.0.1:443" },
  { "proxy", "https://10.0.0.1:6443", "10.0.0.1:443" },
  { "direct", "https://10.96.0.1", "10.96.0.0/12,.svc" },
  { "proxy", "https://10.112.0.1", "10.96.0.0/12,.svc" },
  { "proxy", "https://10.0.0.1", "0.0.1" },
  { "direct", "https://10.0.0.1", "10.0.0.0/0" },
  { "direct", "https://localhost:6443", "" },
  { "proxy", "https://LOCALHOST", "" },
  { "direct", "https://127.0.0.1:6443", "" },
  { "direct", "https://127.1.2.3", "" },
  { "direct", "https://[::1]:6443", "" },
  { "proxy", "https://foo.localhost", "" },
  { "direct", "https://[fd00::1]:6443", "fd00::/8" },
  { "proxy", "https://[fd00::1]:6443", "fe00::/8" },
  { "direct", "https://[fd00::1]:6443", "fd00::1" },
  { "proxy", "https://[fd00::1]:6443", "[fd00::1]" },
  { "direct", "https://[fd00::1]:6443", "[fd00::1]:6443" },
  { "proxy", "https://[fd00::1]:6443", "[fd00::1]:443" },
  { "direct", "https://[fd00::1]", "fd00:0:0:0:0:0:0:1" },
  { "direct", "https://[fd00::a]", "FD00::A" },
  { "direct", "https://[::ffff:10.0.0.1]", "10.0.0.1" },
  { "direct", "https://[::ffff:10.0.0.1]", "10.0.0.0/8" },
  { "direct", "https://10.0.0.1", "::ffff:10.0.0.1" },
  { "direct", "https://[::ffff:127.0.0.1]", "" },
  { "direct", "https://kubernetes.default.svc", "svc" },
  { "direct", "https://kubernetes.default.svc", ".cluster.local,.svc" },
  { "proxy", "https://k.example", "example." },
  { "proxy", "https://k.example", "." },
  { "proxy", "https://k.example", "http://k.example" },
  { "proxy", "https://010.0.0.1", "10.0.0.1" },
}

describe("NO_PROXY", function()
  for _, case in ipairs(CASES) do
    local want, url, list = unpack(case)
    it(("%s: %s with %q"):format(want, url, list), function()
      local env = { HTTPS_PROXY = "http://p:1", HTTP_PROXY = "http://p:1", NO_PROXY = list }
      assert.equal(want == "proxy" and "http://p:1" or false, proxy.choose(url, env))
    end)
  end

  it("is the variable in lower case where the one in upper case is not set", function()
    local env = { https_proxy = "p:1", no_proxy = "k.example" }
    assert.is_false(proxy.choose("https://k.example", env))
    assert.equal("http://p:1", proxy.choose("https://other.example", env))
    env.NO_PROXY = "other.example"
    assert.equal("http://p:1", proxy.choose("https://k.example", env))
  end)
end)

describe("the proxy of the environment", function()
  it("goes by the scheme of the server", function()
    local env = { HTTPS_PROXY = "http://s:1", HTTP_PROXY = "http://h:1" }
    assert.equal("http://s:1", proxy.choose("https://k.example", env))
    assert.equal("http://h:1", proxy.choose("http://k.example", env))
    assert.is_false(proxy.choose("https://k.example", { HTTP_PROXY = "http://h:1", ALL_PROXY = "http://a:1" }))
  end)

  it("is none for plain HTTP in a CGI program, where a client could have set it", function()
    assert.is_false(proxy.choose("http://k.example", { HTTP_PROXY = "http://h:1", REQUEST_METHOD = "GET" }))
    assert.equal("http://h:1", proxy.choose("http://k.example", { http_proxy = "http://h:1", REQUEST_METHOD = "GET" }))
  end)

  it("may be of four schemes, and is HTTP without one", function()
    for given, url in pairs {
      ["p:3128"] = "http://p:3128", ["http://u:s@p:1/"] = "http://u:s@p:1/", ["https://p"] = "https://p",
      ["socks5://p:1080"] = "socks5://p:1080", ["socks5h://[fd00::1]:1080"] = "socks5h://[fd00::1]:1080",
    } do
      assert.equal(url, proxy.check(given))
    end
  end)

  it("is refused without a word of it that may be a password", function()
    for given, words in pairs {
      ["ftp://u:secret@p"] = "its scheme is ftp", ["http://u:secret@"] = "it is no URL",
      ["http://u:secret@a:b:c"] = "it is no URL",
    } do
      local url, sentence = proxy.choose("https://k.example", { HTTPS_PROXY = given })
      assert.is_nil(url)
      assert.truthy(sentence:find("HTTPS_PROXY: ", 1, true))
      assert.truthy(sentence:find(words, 1, true), sentence)
      assert.is_nil(sentence:find("secret", 1, true))
    end
  end)
end)
