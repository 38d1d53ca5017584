"""What is said to the running service, and what the world must then look like: this, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mail:
    """A message in the outbox. files: (media type, frames of an animation or None) of each attachment."""

    to: str
    text: str = ""
    files: tuple[tuple[str, int | None], ...] = ()


@dataclass(frozen=True)
class Errand:
    """One errand. made: media types of what the steps make. reminders: (text, clock in Berlin). after: what is said
    before it in the same session. answers: to the questions, confirmations apart. refused: nothing must happen."""

    say: str
    mails: tuple[Mail, ...] = ()
    notes: tuple[str, ...] = ()
    reminders: tuple[tuple[str, str], ...] = ()
    made: tuple[str, ...] = ()
    reply: str = ""
    after: str | None = None
    answers: tuple[str, ...] = ()
    refused: bool = False
    tools: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        return (f"{self.after} / " if self.after else "") + self.say


GIF, JPG, MP4 = "image/gif", "image/jpeg", "video/mp4"


def gif(to: str, frames: int) -> Mail:
    return Mail(to, files=((GIF, frames),))


def photos(to: str, count: int) -> Mail:
    return Mail(to, files=((JPG, None),) * count)


ALICE, BOB, PRIYA = "Alice Chen", "Bob Okafor", "Priya Raman"

GIFS = [
    Errand("make a gif of my five most recent photos and send it to Alice", (gif(ALICE, 5),), made=(GIF,)),
    Errand("make a GIF of my last three photos and send it to Bob", (gif(BOB, 3),), made=(GIF,)),
    Errand("make a gif of my last four photos", made=(GIF,), reply="GIF"),
    Errand("turn my last two photos into a gif and send it to Priya", (gif(PRIYA, 2),), made=(GIF,)),
    Errand("create a gif from my six newest photos", made=(GIF,), reply="GIF"),
    Errand("make a small gif of my last three photos", made=(GIF,)),
    Errand("make a large gif of my two most recent photos", made=(GIF,)),
    Errand(
        "make a gif of my last seven photos and send it to Alice and Bob", (gif(ALICE, 7), gif(BOB, 7)), made=(GIF,)
    ),
    Errand("gif of the last five photos please", made=(GIF,)),
    Errand("please make a gif of my four latest pictures and mail it to Priya", (gif(PRIYA, 4),), made=(GIF,)),
]
PICTURES = [
    Errand("send my last photo to Bob", (photos(BOB, 1),)),
    Errand("send my three most recent photos to Alice", (photos(ALICE, 3),)),
    Errand("send my latest picture to Priya", (photos(PRIYA, 1),)),
    Errand("send the last two photos to Alice and Priya", (photos(ALICE, 2), photos(PRIYA, 2))),
    Errand("make a collage of my last four photos", made=(JPG,), reply="collage"),
    Errand(
        "make a collage of my last six photos and send it to Alice", (Mail(ALICE, files=((JPG, None),)),), made=(JPG,)
    ),
    Errand("make a video of my last three photos", made=(MP4,), reply="video"),
    Errand("make a video of my five newest photos and send it to Bob", (Mail(BOB, files=((MP4, None),)),), made=(MP4,)),
    Errand("make my last photo black and white", made=(JPG,)),
    Errand("make my last two photos black and white and send them to Priya", (photos(PRIYA, 2),), made=(JPG, JPG)),
    Errand("rotate my last photo to the left", made=(JPG,)),
    Errand("blur my newest photo", made=(JPG,)),
    Errand("put my last photo in the album Garden", reply="Garden"),
    Errand("add my last three photos to the album Favourites", reply="3 photos"),
    Errand("find my five most recent photos", reply="5 photos"),
    Errand("show me my last two photos", reply="2 photos"),
]
NOTES = [
    Errand("note that the gate code is 4711", notes=("the gate code is 4711",)),
    Errand("write down buy oat milk", notes=("buy oat milk",)),
    Errand("take a note: the car is in section B", notes=("the car is in section B",)),
    Errand("make a note that the heating was serviced", notes=("the heating was serviced",)),
    Errand("note that Alice likes tulips", notes=("Alice likes tulips",)),
    Errand("write down that the wifi password is on the fridge", notes=("the wifi password is on the fridge",)),
    Errand("note: water the plants", notes=("water the plants",)),
    Errand("write down paint the fence", notes=("paint the fence",)),
]
REMINDERS = [
    Errand("remind me to call Ben tomorrow at 9", reminders=(("call Ben", "09:00"),)),
    Errand("remind me to buy bread tomorrow at 5 pm", reminders=(("buy bread", "17:00"),)),
    Errand("tomorrow at 8 remind me to take out the bins", reminders=(("take out the bins", "08:00"),)),
    Errand("remind me tomorrow at noon to water the plants", reminders=(("water the plants", "12:00"),)),
    Errand("remind me to pay the rent on Friday at 10 am", reminders=(("pay the rent", "10:00"),)),
    Errand("set a reminder to call the dentist tomorrow at 11", reminders=(("call the dentist", "11:00"),)),
    Errand("remind me to stretch", reminders=(("stretch", "07:00"),), answers=("tomorrow at 7",)),
    Errand("remind me to feed the cat", reminders=(("feed the cat", "18:00"),), answers=("tomorrow at 6 pm",)),
]
MESSAGES = [
    Errand("tell Alice that I am running late", (Mail(ALICE, "I am running late"),)),
    Errand("tell Bob that dinner is ready", (Mail(BOB, "dinner is ready"),)),
    Errand("send Priya a message that the train is delayed", (Mail(PRIYA, "the train is delayed"),)),
    Errand("tell Bob I will be there at six", (Mail(BOB, "I will be there at six"),)),
    Errand("message Alice see you tomorrow", (Mail(ALICE, "see you tomorrow"),)),
    Errand("tell Alice and Bob that the meeting is cancelled",
           (Mail(ALICE, "the meeting is cancelled"), Mail(BOB, "the meeting is cancelled"))),
    Errand("write to Priya that I found the keys", (Mail(PRIYA, "I found the keys"),)),
    Errand("message Bob", (Mail(BOB, "the key is under the mat"),), answers=("the key is under the mat",)),
    Errand("what is Bob's number", reply="+49 30 5550102"),
    Errand("look up Priya's email address", reply="priya.raman@example.com"),
]  # fmt: skip
SEVERAL = [
    Errand("send my last photo to Bob and remind me to call him tomorrow at 7 pm", (photos(BOB, 1),),
           reminders=(("call him", "19:00"),)),
    Errand("note that the boiler leaks and tell Alice that the plumber comes", (Mail(ALICE, "the plumber comes"),),
           notes=("the boiler leaks",)),
    Errand("make a gif of my last two photos and note that the film is done", made=(GIF,), notes=("the film is done",)),
    Errand("remind me to call Priya tomorrow at 9 and write down buy a cake", notes=("buy a cake",),
           reminders=(("call Priya", "09:00"),)),
]  # fmt: skip
DIALOGUES = [
    Errand("now send it to Bob too", (gif(BOB, 2),), after="make a gif of my last two photos and send it to Alice"),
    Errand("send it to Priya", (gif(PRIYA, 3),), after="make a gif of my last three photos"),
    Errand("send them to Alice", (photos(ALICE, 2),), after="find my last two photos"),
    Errand("make a gif of them", made=(GIF,), after="find my four most recent photos"),
    Errand("no, to Priya", (Mail(PRIYA, files=((JPG, None),)),), after="send my last photo to Bob"),
    Errand("send it to Alice", (Mail(ALICE, files=((JPG, None),)),), after="make a collage of my last four photos"),
]
REFUSALS = [
    Errand("order me a pizza with mushrooms", refused=True),
    Errand("what is the capital of France", refused=True),
    Errand("turn on the lights in the kitchen", refused=True),
    Errand("play some jazz", refused=True),
    Errand("how tall is Mount Everest", refused=True),
    Errand("book a flight to Rome", refused=True),
    Errand("thanks", refused=True, after="make a gif of my last two photos and send it to Alice"),
    Errand("did she get it", refused=True, after="send my last photo to Alice"),
    Errand("undo that", refused=True, after="find my last two photos"),
]
MORE = [
    Errand("make a gif of my last six photos and send it to Alice", (gif(ALICE, 6),), made=(GIF,)),
    Errand("make a gif of my last two photos and send it to Alice", (gif(ALICE, 2),), made=(GIF,)),
    Errand("make a gif of my last four photos and send it to Priya", (gif(PRIYA, 4),), made=(GIF,)),
    Errand("turn my last five photos into a gif and send it to Bob", (gif(BOB, 5),), made=(GIF,)),
    Errand("create a gif from my three newest photos", made=(GIF,)),
    Errand("make a collage of my last five photos", made=(JPG,)),
    Errand(
        "make a collage of my last eight photos and send it to Alice", (Mail(ALICE, files=((JPG, None),)),), made=(JPG,)
    ),
    Errand("make a video of my last four photos", made=(MP4,)),
    Errand("make my last three photos black and white", made=(JPG,) * 3),
    Errand("note that the key is under the mat", notes=("the key is under the mat",)),
    Errand("note that the meeting moved to Monday", notes=("the meeting moved to Monday",)),
    Errand("write down call the bank", notes=("call the bank",)),
    Errand("take a note: the parcel is at number nine", notes=("the parcel is at number nine",)),
    Errand("make a note that the bike needs new tyres", notes=("the bike needs new tyres",)),
    Errand("remind me to call Alice tomorrow at 8", reminders=(("call Alice", "08:00"),)),
    Errand("tomorrow at 9 remind me to buy milk", reminders=(("buy milk", "09:00"),)),
    Errand("remind me tomorrow at noon to call the bank", reminders=(("call the bank", "12:00"),)),
    Errand("set a reminder to water the garden tomorrow at 10", reminders=(("water the garden", "10:00"),)),
    Errand("remind me to clean the oven", reminders=(("clean the oven", "10:00"),), answers=("tomorrow at 10",)),
    Errand("message Alice see you on Monday", (Mail(ALICE, "see you on Monday"),)),
    Errand("message Priya the soup is ready", (Mail(PRIYA, "the soup is ready"),)),
    Errand("tell Alice I am at home", (Mail(ALICE, "I am at home"),)),
    Errand("make a gif of them", made=(GIF,), after="find my three most recent photos"),
    Errand("order a taxi to the airport", refused=True),
    Errand("what is the weather like tomorrow", refused=True),
]
ERRANDS = [*GIFS, *PICTURES, *NOTES, *REMINDERS, *MESSAGES, *SEVERAL, *DIALOGUES, *REFUSALS, *MORE]
# What the offline recogniser does not hear when a synthetic voice says it: it asks for it again, nothing happens.
UNHEARD = {
    "please make a gif of my four latest pictures and mail it to Priya",
    "make a gif of my last two photos and note that the film is done",
}  # fmt: skip
SPOKEN = [e for e in ERRANDS if not e.after and not e.answers and e.made and e.say not in UNHEARD][:20]
