--- kubeconfig files: found, read and merged as kubectl does. Reads files only through what it is given.
---
--- KUBECONFIG may name several files. The first one that has an entry of a name, or a current-context, wins; entries
--- are never mixed. Paths in an entry start in the directory of the file that the entry stands in.

local fields = require "konductor.kube.fields"
local quote = require("konductor.text").quote

local M = {}

---@class konductor.KubeconfigEntry
---@field value table
---@field file string
---@field dir string

---@class konductor.Kubeconfig
---@field files string[]      those that were read
---@field clusters table<string, konductor.KubeconfigEntry>
---@field contexts table<string, konductor.KubeconfigEntry>
---@field users table<string, konductor.KubeconfigEntry>
---@field current? string     current-context
---@field current_file? string

local OF_USER = "~/.kube/config"
local SECTIONS = { clusters = "cluster", contexts = "context", users = "user" }

--- The files that are meant, and how a sentence calls them.
---@param asked { kubeconfig?: string }
---@param env table<string, string>
---@return string[]? paths
---@return string? from
function M.paths(asked, env)
  if asked.kubeconfig then
    return { asked.kubeconfig }, "--kubeconfig"
  elseif (env.KUBECONFIG or "") ~= "" then
    local list, seen = {}, {}
    for path in env.KUBECONFIG:gmatch "[^:]+" do
      if not seen[path] then
        seen[path] = true
        list[#list + 1] = path
      end
    end
    return list, "KUBECONFIG"
  elseif (env.HOME or "") ~= "" then
    return { env.HOME .. "/.kube/config" }, OF_USER
  end
end

local function directory(path)
  local dir = path:match("^(.*)/[^/]*$")
  return dir == "" and "/" or dir or ""
end

local function config(sentence, ...)
  return nil, "config", sentence:format(...)
end

-- Checks a section of one file and gives its entries by name.
local function section_of(document, section, path)
  local list = document[section]
  if list == nil then
    return {}
  elseif fields.kind(list) ~= "list" then
    return config('%s: "%s" must be a list of entries with name and %s', path, section, SECTIONS[section])
  end
  local found = {}
  for i, item in ipairs(list) do
    local name = type(item) == "table" and item.name
    local value = type(item) == "table" and item[SECTIONS[section]]
    if type(name) ~= "string" or name == "" then
      return config("%s: entry %d of %s has no name, or one that is not text (put it in quotes)", path, i, section)
    elseif found[name] then
      return config("%s: %s has two entries with the name %s", path, section, quote(name))
    elseif value ~= nil and (type(value) ~= "table" or fields.kind(value) == "list" and next(value)) then
      return config("%s: %s %s: %s must be a mapping", path, section, quote(name), SECTIONS[section])
    end
    found[name] = { value = value or {}, file = path, dir = directory(path) }
  end
  return found
end

local function check_document(document, path)
  if fields.kind(document) ~= "table" then
    return config("%s: this is no kubeconfig: a mapping with clusters, contexts and users was expected", path)
  elseif document.kind ~= nil and document.kind ~= "Config" then
    return config("%s: this is no kubeconfig: its kind is %s, not Config", path, quote(tostring(document.kind)))
  elseif document.apiVersion ~= nil and document.apiVersion ~= "v1" then
    return config("%s: a kubeconfig of apiVersion v1 was expected, not %s", path, quote(tostring(document.apiVersion)))
  end
  local current = document["current-context"]
  if current ~= nil and type(current) ~= "string" then
    return config("%s: current-context must be text; put it in quotes", path)
  end
  return true
end

-- Adds what one file has and those before it have not.
local function add(merged, document, path)
  local ok, word, sentence = check_document(document, path)
  if not ok then
    return nil, word, sentence
  end
  for section in pairs(SECTIONS) do
    local found
    found, word, sentence = section_of(document, section, path)
    if not found then
      return nil, word, sentence
    end
    for name, entry in pairs(found) do
      merged[section][name] = merged[section][name] or entry
    end
  end
  local current = document["current-context"]
  if not merged.current and current and current ~= "" then
    merged.current, merged.current_file = current, path
  end
  merged.files[#merged.files + 1] = path
  return true
end

local function missing(paths, from, last)
  if from == OF_USER then
    return config("there is no %s, and neither --kubeconfig nor KUBECONFIG names another kubeconfig", from)
  elseif #paths == 1 then
    return config("%s: %s; name another one by --kubeconfig or KUBECONFIG", from, last)
  end
  return config("%s: none of its files is there: %s", from, table.concat(paths, ", "))
end

--- Reads files and merges them. One file that is named alone must be there, of several one must.
---@param paths string[]
---@param from string
---@param system konductor.System
---@return konductor.Kubeconfig? merged
---@return string? word
---@return string? sentence
function M.load(paths, from, system)
  local merged = { files = {}, clusters = {}, contexts = {}, users = {} }
  local last
  for _, path in ipairs(paths) do
    local text, code, detail = system.read_file(path)
    if text then
      local document
      document, code, detail = system.decode_yaml(text, path)
      if document == nil and code ~= "absent" then
        return nil, code, detail
      end
      local ok
      ok, code, detail = add(merged, document == nil and {} or document, path)
      if not ok then
        return nil, code, detail
      end
    elseif code == "absent" then
      last = detail
    else
      return nil, code == "denied" and code or "config", ("%s: %s"):format(from, detail)
    end
  end
  if #merged.files == 0 then
    return missing(paths, from, last or "it names no file")
  end
  return merged
end

local function entry_of(merged, section, name, by)
  local entry = merged[section][name]
  if entry then
    return entry
  end
  return config("%s names the %s %s, which %s %s not have; %s", by, SECTIONS[section], quote(name),
    table.concat(merged.files, ", "), #merged.files == 1 and "does" or "do", fields.instead(name, merged[section]))
end

---@class konductor.KubeconfigChoice
---@field context string
---@field cluster konductor.KubeconfigEntry
---@field cluster_name string
---@field user? konductor.KubeconfigEntry
---@field user_name? string
---@field namespace? string
---@field file string         that of the context

--- The context that is meant, and what it names.
---@param merged konductor.Kubeconfig
---@param context? string   of the command line
---@param system konductor.System
---@return konductor.KubeconfigChoice? choice
---@return string? word
---@return string? sentence
function M.pick(merged, context, system)
  local name = context or merged.current
  if not name then
    return config("%s: there is no current-context; choose one by --context, or set it with kubectl config "
      .. "use-context; %s", table.concat(merged.files, ", "), fields.instead(nil, merged.contexts))
  end
  local entry, word, sentence = entry_of(merged, "contexts", name,
    context and "--context" or merged.current_file .. ": current-context")
  if not entry then
    return nil, word, sentence
  end
  local by = ("%s: context %s"):format(entry.file, quote(name))
  local read = fields.new(by, entry.dir, system)
  local choice = {
    context = name, file = entry.file, cluster_name = read:text(entry.value, "cluster"),
    user_name = read:text(entry.value, "user"), namespace = read:text(entry.value, "namespace"),
  }
  if not choice.cluster_name then
    read:fail "it names no cluster"
  end
  if read.fault then
    return nil, read.word, read.fault
  end
  choice.cluster, word, sentence = entry_of(merged, "clusters", choice.cluster_name, by)
  if choice.cluster and choice.user_name then
    choice.user, word, sentence = entry_of(merged, "users", choice.user_name, by)
  end
  if not choice.cluster or choice.user_name and not choice.user then
    return nil, word, sentence
  end
  return choice
end

return M
