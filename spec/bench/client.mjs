// client.mjs: the same work by the official Node client. node client.mjs poll BASE jobs polls | first BASE
import OpenAI from "openai";

const [mode, baseURL, jobs = "1", polls = "1"] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "sk-bench", maxRetries: 0 });

async function follow(id) {
  for (let i = 0; i < Number(polls); i++) {
    const job = await client.fineTuning.jobs.retrieve(id);
    if (job.status !== "running") throw new Error("unexpected answer");
  }
}

if (mode === "first") await follow("ftjob-1");
else await Promise.all(Array.from({ length: Number(jobs) }, (_, i) => follow(`ftjob-${i}`)));
