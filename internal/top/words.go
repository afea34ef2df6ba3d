package top

import "strings"

// Language is one that the view speaks.
type Language uint8

// The languages.
const (
	English Language = iota
	Chinese
)

// LanguageOf returns the language of the locale that an environment names, as setlocale finds it for messages; English if it is none of ours.
func LanguageOf(environ []string) Language {
	if strings.HasPrefix(variable(environ, "LC_ALL", "LC_MESSAGES", "LANG"), "zh") {
		return Chinese
	}
	return English
}

// variable returns the first of these that is set to something.
func variable(environ []string, names ...string) string {
	for _, name := range names {
		for _, pair := range environ {
			if value, ok := strings.CutPrefix(pair, name+"="); ok && value != "" {
				return value
			}
		}
	}
	return ""
}

// words are all that the view says. States, classes and confidence have the same names everywhere.
type words struct {
	up, since, demo, quit                                              string
	rate, ceiling, configured, sent, utilisation, refused, slots, each string

	stale, draining, unhealthy, degraded, file string // notices; stale, file: what, why

	queue                                string // how many, of how many
	oldest, half, most                   string // waits of a class
	waiting, place, agent, model, waited string
	eta, provider, repeat, nobody        string
	limits, state, used, known, resets   string
	burst, running, lastRefusal, charges string
	paused, account, never, noLimits     string
	requests, class, status, queued      string
	first, total, tries, reason, none    string
	providers, keys, reachable, away     string
	held, benched, clientKeys, fallback  string
}

// words returns what a language calls things.
func (l Language) words() words {
	if l == Chinese {
		return chinese()
	}
	return english()
}

func english() words {
	return words{
		up: "up %s", since: "for %s", demo: "DEMO: the answers are synthetic", quit: "q quits",
		rate: "rate", ceiling: "ceiling", configured: "configured", sent: "sent", utilisation: "used", refused: "refused", slots: "free now", each: "/min",
		stale: "STALE: nothing heard for %s, trying again", draining: "DRAINING: nothing is admitted",
		unhealthy: "UNHEALTHY: see /readyz?verbose", degraded: "STATE DIRECTORY: it cannot be written, what is learned stays in memory",
		file:  "SETTINGS FILE: not taken over: %s",
		queue: "QUEUE %d of %d", oldest: "oldest", half: "p50", most: "p95",
		waiting: "WAITING", place: "place", agent: "agent", model: "model", waited: "waited", eta: "eta", provider: "provider", repeat: "repeat", nobody: "nobody waits",
		limits: "LIMITS", state: "state", used: "used", known: "known", resets: "resets", burst: "burst", running: "running", lastRefusal: "refused",
		charges: "sent", paused: "paused", account: "(account)", never: "-", noLimits: "nothing was sent yet",
		requests: "REQUESTS", class: "class", status: "status", queued: "queued", first: "first", total: "total", tries: "tries", reason: "reason", none: "none has ended yet",
		providers: "PROVIDERS", keys: "keys", reachable: "reachable", away: "unreachable", held: "paused", benched: "%s out of use", clientKeys: "the clients' own",
		fallback: "default",
	}
}

func chinese() words {
	return words{
		up: "已运行 %s", since: "已持续 %s", demo: "演示：答案是合成的", quit: "q 退出",
		rate: "速率", ceiling: "上限", configured: "配置", sent: "已发", utilisation: "利用率", refused: "被拒", slots: "可立即发出", each: "/分",
		stale: "无数据：已 %s 没有消息，正在重新连接", draining: "正在排空：不接收任何请求",
		unhealthy: "不健康：见 /readyz?verbose", degraded: "状态目录不可写：学到的内容只保存在内存中",
		file:  "设置文件未被采用：%s",
		queue: "队列 %d / %d", oldest: "最久", half: "中位", most: "95 %",
		waiting: "等待", place: "位置", agent: "agent", model: "模型", waited: "已等", eta: "还需", provider: "提供商", repeat: "重发", nobody: "没有请求在等待",
		limits: "限额", state: "状态", used: "已用", known: "可信度", resets: "重置", burst: "突发", running: "进行中", lastRefusal: "被拒",
		charges: "已发", paused: "暂停", account: "（整个账户）", never: "-", noLimits: "还没有发送过请求",
		requests: "请求", class: "等级", status: "状态码", queued: "排队", first: "首字节", total: "总计", tries: "次数", reason: "原因", none: "还没有完成的请求",
		providers: "提供商", keys: "密钥", reachable: "可达", away: "不可达", held: "已暂停", benched: "%s 停用", clientKeys: "客户端自己的",
		fallback: "默认",
	}
}
