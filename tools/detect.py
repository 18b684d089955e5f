from detection.commands.detect import main

if __name__ == "__main__":
    raise SystemExit(main())
