// Hold to talk: the microphone as a recording that the service understands.

const TYPES = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];
const LONGEST_MS = 60_000;

export class Recorder {
  // level(0…1) is called while recording; ended() when the longest recording is reached.
  constructor(level, ended) {
    this.level = level;
    this.ended = ended;
    this.active = false;
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) {
      throw new Error("This browser gives no microphone to this page. Open it as http://127.0.0.1 or over https, or type.");
    }
    this.active = true;
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({
        audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true },
      });
    } catch (error) {
      this.active = false;
      throw new Error(error.name === "NotFoundError"
        ? "No microphone is connected. You can type instead."
        : "The browser did not allow the microphone. Allow it for this page, or type.");
    }
    if (!this.active) return this.#release(); // let go before the permission came
    const mimeType = TYPES.find((t) => MediaRecorder.isTypeSupported(t));
    this.recorder = new MediaRecorder(this.stream, mimeType ? { mimeType } : {});
    this.parts = [];
    this.recorder.ondataavailable = (e) => this.parts.push(e.data);
    this.recorder.start();
    this.begun = performance.now();
    this.timer = setTimeout(() => this.ended(), LONGEST_MS);
    this.#listen();
  }

  // The recording, or null when there was none.
  async stop() {
    this.active = false;
    clearTimeout(this.timer);
    if (!this.recorder || this.recorder.state === "inactive") return this.#release();
    const done = new Promise((resolve) => { this.recorder.onstop = resolve; });
    this.recorder.stop();
    await done;
    const recording = new Blob(this.parts, { type: this.recorder.mimeType });
    const ms = performance.now() - this.begun;
    this.#release();
    return ms > 250 && recording.size ? recording : null;
  }

  #listen() {
    this.audio = new AudioContext();
    const analyser = this.audio.createAnalyser();
    analyser.fftSize = 512;
    this.audio.createMediaStreamSource(this.stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const look = () => {
      if (!this.active) return;
      analyser.getFloatTimeDomainData(samples);
      const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
      this.level(Math.min(1, rms * 6));
      requestAnimationFrame(look);
    };
    look();
  }

  #release() {
    this.stream?.getTracks().forEach((t) => t.stop());
    this.audio?.close().catch(() => {});
    this.stream = this.audio = this.recorder = undefined;
    return null;
  }
}
